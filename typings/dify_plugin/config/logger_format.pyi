import logging

plugin_logger_handler: logging.Handler
