"""Every act that the trail records: its code, for files, and its words, for people."""

from __future__ import annotations

from django.db import models


class Act(models.TextChoices):
    """What somebody did. A code is never changed or reused: entries that name it stay for ever."""

    SIGNED_IN = "person.signed-in", "signed in as"
    SIGN_IN_FAILED = "person.sign-in-failed", "failed to sign in as"
    PASSWORD_CHANGED = "person.password-changed", "changed the password of"
    FACTOR_ADDED = "person.factor-added", "added a second factor for"
    FACTOR_REMOVED = "person.factor-removed", "removed a second factor of"

    TOKEN_MADE = "token.made", "made the token"
    TOKEN_REVOKED = "token.revoked", "revoked the token"

    DATASET_MADE = "dataset.made", "made the dataset"
    DATASET_CHANGED = "dataset.changed", "changed the dataset"
    POLICY_CHANGED = "policy.changed", "changed the policy"
    CLASS_ADDED = "class.added", "added the class"
    CLASS_CHANGED = "class.changed", "changed the class"
    CLASS_DELETED = "class.deleted", "deleted the class"
    AXIS_SET = "axis.set", "set the values of the axis"
    AXIS_DELETED = "axis.deleted", "deleted the axis"
    PAIR_FORBIDDEN = "pair.forbidden", "forbade the pair"
    PAIR_ALLOWED = "pair.allowed", "allowed the pair again"
    REFERENCES_ADDED = "references.added", "added real images"
    REFERENCES_REMOVED = "references.removed", "removed real images"
    MEMBER_SET = "member.set", "gave a role to"
    MEMBER_REMOVED = "member.removed", "ended the membership of"
    INVITED = "invitation.made", "invited a"
    INVITATION_ACCEPTED = "invitation.accepted", "accepted the invitation as"
    INVITATION_WITHDRAWN = "invitation.withdrawn", "withdrew the invitation of a"
    MEMBER_ASSIGNED = "member.assigned", "changed what is asked of"

    PROMPTS_WRITTEN = "prompts.written", "had prompts written"
    PROMPTS_IMPORTED = "prompts.imported", "imported prompts"
    PROMPT_ADDED = "prompt.added", "added the prompt"
    PROMPT_CHANGED = "prompt.changed", "changed the prompt"
    PROMPTS_STATE_SET = "prompts.state-set", "set the state of prompts"
    WRITING_STOPPED = "writing.stopped", "stopped the writing"
    TUNING_ORDERED = "tuning.ordered", "ordered the training"
    TUNING_STOPPED = "tuning.stopped", "stopped the training"
    COMPARISON_ORDERED = "comparison.ordered", "ordered the comparison"

    BUDGET_SET = "budget.set", "set the budget"
    UNKNOWN_DECIDED = "unknown.decided", "decided paid calls of unknown outcome"
    GATE_OPENED = "gate.opened", "had a paused service asked again"
    WORK_RETRIED = "work.retried", "had failed work done again"

    RUN_STARTED = "run.started", "started the run"
    RUN_STOPPED = "run.stopped", "stopped the run"

    CERTIFICATE_STARTED = "certificate.started", "started the certificate"
    CERTIFICATE_EXTENDED = "certificate.extended", "extended the certificate"
    CERTIFICATE_ENDED = "certificate.ended", "ended the certificate"
    ROUND_BEGUN = "round.begun", "began another round"
    THRESHOLDS_ON = "thresholds.on", "let thresholds accept"
    THRESHOLDS_OFF = "thresholds.off", "let thresholds accept no more"
    ASIDE_PUT = "aside.put", "put images aside"
    ASIDE_BACK = "aside.back", "brought images back"
    GOLD_CHOSEN = "gold.chosen", "chose known answers"
    GOLD_RETIRED = "gold.retired", "retired known answers"
    EXAMPLE_SET = "example.set", "put beside the guideline the"
    EXAMPLE_REMOVED = "example.removed", "took from beside the guideline the"
    RANKING_ASKED = "ranking.asked", "asked for a ranking"
    REPLAY_ASKED = "replay.asked", "asked for a replay"
    SIGNED = "dataset.signed", "signed for the images of"

    EXPORT_ORDERED = "export.ordered", "ordered the export"
    PACKAGE_ORDERED = "package.ordered", "ordered the package"
    DELIVERY_ORDERED = "delivery.ordered", "had the package sent"
    WEBHOOK_ADDED = "webhook.added", "added the webhook"
    WEBHOOK_REMOVED = "webhook.removed", "removed the webhook"

    PROBE_SET = "probe.set", "set the groups of the probe"
    PROBE_DELETED = "probe.deleted", "deleted the probe"
    DIVERSITY_ASKED = "diversity.asked", "had the diversity measured"

    EVALUATION_STARTED = "evaluation.started", "started the evaluation"
    EVALUATION_STOPPED = "evaluation.stopped", "stopped the evaluation"
