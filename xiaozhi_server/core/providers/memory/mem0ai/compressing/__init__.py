"""Old episodes of an owner are told more shortly: what is put together, what the model is asked, what is believed."""
