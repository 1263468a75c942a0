# SPDX-License-Identifier: AGPL-3.0-or-later
"""The first tables, the triggers that keep logs append-only, and SQLite's mark that the file is ours."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TEXT = sa.String(length=255)
LONG = sa.Text()
HASH = sa.String(length=64)
MOMENT = sa.String(length=27)
DOCUMENT = sa.Text()

APPEND_ONLY = ("commands", "command_events", "sortie_journal", "alert_actions", "audit")


def upgrade() -> None:
    op.create_table(
        "alert_actions",
        sa.Column("row_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("site_id", TEXT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("event_id", TEXT, nullable=False),
        sa.Column("alert_id", TEXT, nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=True),
        sa.Column("action", TEXT, nullable=False),
        sa.Column("actor", TEXT, nullable=False),
        sa.Column("said_at", MOMENT, nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("refused", LONG, nullable=True),
        sa.Column("payload", DOCUMENT, nullable=False),
        sa.PrimaryKeyConstraint("row_id", name=op.f("pk_alert_actions")),
        sa.UniqueConstraint("site_id", "source", "event_id", name=op.f("uq_alert_actions_site_id_source_event_id")),
    )
    op.create_index(op.f("ix_alert_actions_site_id_alert_id"), "alert_actions", ["site_id", "alert_id"], unique=False)
    op.create_table(
        "audit",
        sa.Column("row_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("site_id", TEXT, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("actor", TEXT, nullable=False),
        sa.Column("action", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=True),
        sa.Column("detail", DOCUMENT, nullable=False),
        sa.Column("prev_hash", HASH, nullable=False),
        sa.Column("hash", HASH, nullable=False),
        sa.PrimaryKeyConstraint("row_id", name=op.f("pk_audit")),
        sa.UniqueConstraint("site_id", "number", name=op.f("uq_audit_site_id_number")),
        sa.UniqueConstraint("site_id", "prev_hash", name=op.f("uq_audit_site_id_prev_hash")),
    )
    op.create_table(
        "commands",
        sa.Column("row_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("site_id", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("actor", TEXT, nullable=False),
        sa.Column("reason", LONG, nullable=False),
        sa.Column("vehicle_id", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("issued_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("payload", DOCUMENT, nullable=False),
        sa.PrimaryKeyConstraint("row_id", name=op.f("pk_commands")),
        sa.UniqueConstraint("site_id", "id", name=op.f("uq_commands_site_id_id")),
    )
    op.create_index(
        op.f("ix_commands_site_id_vehicle_id_issued_at"),
        "commands",
        ["site_id", "vehicle_id", "issued_at"],
        unique=False,
    )
    op.create_table(
        "incidents",
        sa.Column("site_id", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("mission_id", TEXT, nullable=True),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("opened_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("document", DOCUMENT, nullable=False),
        sa.PrimaryKeyConstraint("site_id", "id", name=op.f("pk_incidents")),
    )
    op.create_index(op.f("ix_incidents_site_id_ended_at"), "incidents", ["site_id", "ended_at"], unique=False)
    op.create_table(
        "missions",
        sa.Column("site_id", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("purpose", LONG, nullable=False),
        sa.Column("authority_who", TEXT, nullable=False),
        sa.Column("authority_ground", LONG, nullable=False),
        sa.Column("category", TEXT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("outcome_kind", TEXT, nullable=True),
        sa.Column("outcome_note", LONG, nullable=True),
        sa.Column("items_done", sa.Integer(), nullable=True),
        sa.Column("items_total", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("site_id", "id", name=op.f("pk_missions")),
    )
    op.create_table(
        "plans",
        sa.Column("site_id", TEXT, nullable=False),
        sa.Column("sortie_id", TEXT, nullable=False),
        sa.Column("vehicle_id", TEXT, nullable=False),
        sa.Column("mission_id", TEXT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("plan_hash", TEXT, nullable=True),
        sa.Column("plan", DOCUMENT, nullable=False),
        sa.PrimaryKeyConstraint("site_id", "sortie_id", name=op.f("pk_plans")),
    )
    op.create_table(
        "sortie_journal",
        sa.Column("row_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("site_id", TEXT, nullable=False),
        sa.Column("sortie_id", TEXT, nullable=False),
        sa.Column("vehicle_id", TEXT, nullable=False),
        sa.Column("mission_id", TEXT, nullable=True),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("step", TEXT, nullable=False),
        sa.Column("plan_hash", TEXT, nullable=True),
        sa.Column("readback_hash", TEXT, nullable=True),
        sa.Column("state", DOCUMENT, nullable=True),
        sa.PrimaryKeyConstraint("row_id", name=op.f("pk_sortie_journal")),
        sa.UniqueConstraint(
            "site_id", "sortie_id", "sequence", name=op.f("uq_sortie_journal_site_id_sortie_id_sequence")
        ),
    )
    op.create_index(
        op.f("ix_sortie_journal_site_id_vehicle_id_at"), "sortie_journal", ["site_id", "vehicle_id", "at"], unique=False
    )
    op.create_table(
        "alerts",
        sa.Column("site_id", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("incident_id", TEXT, nullable=False),
        sa.Column("mission_id", TEXT, nullable=True),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("level", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("rule_id", TEXT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("document", DOCUMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["site_id", "incident_id"],
            ["incidents.site_id", "incidents.id"],
            name=op.f("fk_alerts_site_id_incident_id_incidents"),
        ),
        sa.PrimaryKeyConstraint("site_id", "id", name=op.f("pk_alerts")),
    )
    op.create_index(op.f("ix_alerts_site_id_ended_at"), "alerts", ["site_id", "ended_at"], unique=False)
    op.create_index(op.f("ix_alerts_site_id_incident_id"), "alerts", ["site_id", "incident_id"], unique=False)
    op.create_table(
        "command_events",
        sa.Column("row_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("site_id", TEXT, nullable=False),
        sa.Column("command_id", TEXT, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("event", TEXT, nullable=False),
        sa.Column("detail", LONG, nullable=True),
        sa.Column("state", DOCUMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["site_id", "command_id"],
            ["commands.site_id", "commands.id"],
            name=op.f("fk_command_events_site_id_command_id_commands"),
        ),
        sa.PrimaryKeyConstraint("row_id", name=op.f("pk_command_events")),
    )
    op.create_index(
        op.f("ix_command_events_site_id_command_id"), "command_events", ["site_id", "command_id"], unique=False
    )
    op.create_table(
        "outbox",
        sa.Column("row_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("site_id", TEXT, nullable=False),
        sa.Column("message_id", TEXT, nullable=False),
        sa.Column("alert_id", TEXT, nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("topic", TEXT, nullable=False),
        sa.Column("payload", LONG, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_attempt_at", MOMENT, nullable=True),
        sa.Column("next_attempt_at", MOMENT, nullable=False),
        sa.Column("closed_at", MOMENT, nullable=True),
        sa.Column("closed_by", TEXT, nullable=True),
        sa.ForeignKeyConstraint(
            ["site_id", "alert_id"], ["alerts.site_id", "alerts.id"], name=op.f("fk_outbox_site_id_alert_id_alerts")
        ),
        sa.PrimaryKeyConstraint("row_id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("site_id", "alert_id", "sequence", name=op.f("uq_outbox_site_id_alert_id_sequence")),
        sa.UniqueConstraint("site_id", "message_id", name=op.f("uq_outbox_site_id_message_id")),
    )
    op.create_index(
        op.f("ix_outbox_site_id_closed_at_next_attempt_at"),
        "outbox",
        ["site_id", "closed_at", "next_attempt_at"],
        unique=False,
    )

    if op.get_bind().dialect.name == "sqlite":
        op.execute("PRAGMA application_id=1146244675")  # "DRNC"
        for table in APPEND_ONLY:
            for verb in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                )


def downgrade() -> None:
    for table in (
        "outbox",
        "command_events",
        "alerts",
        "sortie_journal",
        "plans",
        "missions",
        "incidents",
        "commands",
        "audit",
        "alert_actions",
    ):
        op.drop_table(table)
