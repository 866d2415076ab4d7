"""What the companion says, in English and Chinese. Each phrase begins with an emoji: the face that the device shows."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phrases:
    hello: str
    hello_again: str
    who_i_am: str
    how_i_am: str
    welcome: str
    goodbye: str
    not_understood: str
    known: str
    nearest: str
    all_known: str
    nothing_known: str
    unknown: str
    beyond: str
    noted: str
    noted_briefly: str
    all_right: str
    nothing_of_its_own: str
    cannot_do: str
    cannot_forget: str


ENGLISH = Phrases(
    hello="😀 Hello! I am not a language model, only a small companion made of rules. Tell me something about you, "
    "or ask me what you told me before.",
    hello_again="🙂 Hello again!",
    who_i_am="🙂 I am a small companion made of rules, not a language model. I note what you tell me "
    "and answer questions about it.",
    how_i_am="🙂 I am fine, thank you.",
    welcome="😊 You are welcome.",
    goodbye="🙂 Goodbye!",
    not_understood="😕 I did not catch that.",
    known="🙂 {fact}",
    nearest="🤔 I am not sure. The nearest thing that I remember: {fact}",
    all_known="🙂 This is what I remember. {facts}",
    nothing_known="🤔 I do not remember anything about you yet.",
    unknown="🤔 I do not know that. Nothing that I remember answers it.",
    beyond="🤔 I do not know that. I am not a language model: I only know what you have told me.",
    noted="🙂 Got it: {fact}",
    noted_briefly="🙂 Got it.",
    all_right="🙂 All right.",
    nothing_of_its_own="🙂 I am made of rules and have no life of my own that I could tell you about.",
    cannot_do="😔 That is more than I can do: I note what you tell me and answer questions about it.",
    cannot_forget="😔 I cannot forget when I am asked to. Tell me how it is now, and I will go by that.",
)
CHINESE = Phrases(
    hello="😀 你好！我不是语言模型，只是一个按规则说话的小伙伴。你可以告诉我一些关于你的事，也可以问我你以前说过什么。",
    hello_again="🙂 又见面了！",
    who_i_am="🙂 我是一个按规则说话的小伙伴，不是语言模型。我会记下你告诉我的事，也会回答关于这些事的问题。",
    how_i_am="🙂 我很好，谢谢。",
    welcome="😊 不客气。",
    goodbye="🙂 再见！",
    not_understood="😕 我没听清。",
    known="🙂 {fact}",
    nearest="🤔 我不太确定。我记得的最接近的是：{fact}",
    all_known="🙂 我记得这些。{facts}",
    nothing_known="🤔 我还不记得关于你的任何事。",
    unknown="🤔 我不知道。我记得的事情里没有答案。",
    beyond="🤔 我不知道。我不是语言模型，只知道你告诉过我的事。",
    noted="🙂 好的，记下了：{fact}",
    noted_briefly="🙂 好的，记下了。",
    all_right="🙂 好。",
    nothing_of_its_own="🙂 我只是一些规则，没有自己的生活可以讲。",
    cannot_do="😔 这个我做不到：我会记下你告诉我的事，也会回答关于这些事的问题。",
    cannot_forget="😔 我没有办法按要求忘记。你可以告诉我现在是怎样的，我就照新的来。",
)
# Memory also holds what the companion said itself: by these beginnings it knows its own words again. They are long
# enough to leave a person's own "Hello! I am Tom" and "I do not know how to swim" alone.
LONGEST_BEGINNING = 24
OWN_BEGINNINGS = tuple(
    phrase.split(" ", 1)[1].split("{")[0][:LONGEST_BEGINNING].strip()
    for phrases in (ENGLISH, CHINESE)
    for phrase in (
        phrases.hello, phrases.who_i_am, phrases.how_i_am, phrases.not_understood, phrases.nearest, phrases.all_known,
        phrases.nothing_known, phrases.unknown, phrases.beyond, phrases.noted, phrases.nothing_of_its_own,
        phrases.cannot_do, phrases.cannot_forget,
    )
)  # fmt: skip
