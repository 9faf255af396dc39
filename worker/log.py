"""Logging of a process: structlog, for people or as JSON, with the standard library's loggers in the same form."""

from __future__ import annotations

import logging
import sys
import traceback
from typing import TextIO

import structlog
from temporalio import activity, workflow
from temporalio.exceptions import ApplicationError

from backhaul.errors import Rejected, Transient, Unknown
from worker.converter import safe_text
from worker.settings import LogFormat

OUR_KINDS = frozenset({Rejected.kind, Transient.kind, Unknown.kind})
MAX_CAUSES = 5


def configure(log_format: LogFormat, level: str) -> None:
    """Send every logger of this process, ours and the libraries', to standard error in one form."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: list[structlog.typing.Processor]
    if log_format is LogFormat.JSON:
        renderer = [
            structlog.processors.ExceptionRenderer(traceback_text),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    else:
        renderer = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_print_traceback)]
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(our_kinds_are_no_surprise)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # One line a request to a provider is the gateways' own business; the library's lines say nothing more.
    for noisy in ("httpx2", "httpcore2", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # What the SDK adds to a message is in the line's fields already.
    activity.logger.activity_info_on_message = False
    workflow.logger.workflow_info_on_message = False
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )


def our_kinds_are_no_surprise(record: logging.LogRecord) -> bool:
    """An activity that ends with one of our kinds of error did as it should: its code says all, no traceback does."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, ApplicationError) and error.type in OUR_KINDS:
        first = error.details[0] if error.details else None
        record.error_kind = error.type
        record.error_code = first.get("code") if isinstance(first, dict) else None
        record.exc_info = record.exc_text = None
    return True


def traceback_text(exc_info: structlog.typing.ExcInfo) -> str:
    """Where an error and its causes came from, without values: neither locals nor what a validation quotes."""
    parts: list[str] = []
    error: BaseException | None = exc_info[1]
    while error is not None and len(parts) < MAX_CAUSES:
        frames = "".join(traceback.format_tb(error.__traceback__))
        parts.append(f"{frames}{type(error).__module__}.{type(error).__qualname__}: {safe_text(error)}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\ncaused by:\n".join(parts)


def _print_traceback(target: TextIO, exc_info: structlog.typing.ExcInfo) -> None:
    target.write("\n" + traceback_text(exc_info))
