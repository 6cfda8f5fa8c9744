"""How a call to an outside service can end badly: one tree for all adapters.

Generators, authors and judges raise these; the job that called them decides by the class
what becomes of the work, so that nothing is paid twice and nothing is lost.

    ServiceError                 a fault that will not pass by itself
      PermanentError             wrong request or configuration: it will fail again
        RefusedError             the provider's policy will not do this; not charged
        UnusableAnswerError      an answer came and is useless; it may have been charged
      OutOfCreditError           the account is empty: pause, and ask a person
      TransientError             nothing was charged, and the same call may succeed later
        RateLimitedError         …after `retry_after_s`
      StoppedError               we ourselves asked for it: says nothing against the service
      OutcomeUnknownError        the bytes left, and no proof of the outcome came back
"""

from __future__ import annotations


class ServiceError(Exception):
    """Base of everything that an adapter raises; itself a fault that will not pass by itself.

    `used` is what was used up before it, in the adapter's own measure; None where it says nothing.
    """

    used: object = None


class PermanentError(ServiceError):
    """Wrong request or configuration: the same call will fail again."""


class RefusedError(PermanentError):
    """The provider's policy refused the request; not charged."""


class UnusableAnswerError(PermanentError):
    """The provider says that it succeeded, and what came cannot be used.

    `cost_micro_usd` is what it charged, as far as the answer tells.
    """

    def __init__(self, message: str, *, cost_micro_usd: int = 0) -> None:
        super().__init__(message)
        self.cost_micro_usd = cost_micro_usd


class OutOfCreditError(ServiceError):
    """The account is empty or at its limit: pause, and ask a person."""


class TransientError(ServiceError):
    """Nothing was charged and the same call may succeed later."""


class RateLimitedError(TransientError):
    """Too many calls; `retry_after_s` is what the provider asked for, if it did."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StoppedError(ServiceError):
    """Stopped half-way because its caller asked for that."""


class OutcomeUnknownError(ServiceError):
    """The bytes left and no proof of the outcome came back: it may have been charged."""
