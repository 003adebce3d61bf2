-- A data directory as schema 2 wrote it. Never change it: databases like it exist.
PRAGMA application_id=1399939436;
PRAGMA user_version=2;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE audit (
    seq          INTEGER NOT NULL PRIMARY KEY,
    at           INTEGER NOT NULL,
    event        TEXT    NOT NULL,
    person       TEXT,
    confirmation TEXT,
    execution    BLOB,
    data         TEXT    NOT NULL,
    previous     BLOB    NOT NULL,
    sha          BLOB    NOT NULL
) STRICT;
CREATE TABLE confirmation_runs (
    execution    BLOB NOT NULL,
    confirmation TEXT NOT NULL,
    PRIMARY KEY (execution, confirmation)
) STRICT, WITHOUT ROWID;
CREATE TABLE confirmations (
    id         TEXT    NOT NULL PRIMARY KEY,
    code       TEXT    NOT NULL,
    root       BLOB    NOT NULL,
    -- Ids of executions, 12 bytes each, in their order.
    executions BLOB    NOT NULL,
    state      TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    requester  TEXT    NOT NULL,
    network    TEXT,
    channel    TEXT,
    held_at    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    closed_at  INTEGER,
    json       TEXT    NOT NULL
) STRICT;
CREATE TABLE definitions (
    sha  TEXT NOT NULL PRIMARY KEY,
    text TEXT NOT NULL
) STRICT;
INSERT INTO "definitions" VALUES('ab','version: ''2.0''');
CREATE TABLE due (
    owner  BLOB    NOT NULL,
    kind   INTEGER NOT NULL,
    number INTEGER NOT NULL,
    root   BLOB    NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (owner, kind, number)
) STRICT, WITHOUT ROWID;
INSERT INTO "due" VALUES(X'6553F1000102030405000001',1,2,X'6553F1000102030405000000',50);
INSERT INTO "due" VALUES(X'6553F1000102030405000002',3,0,X'6553F1000102030405000000',90);
CREATE TABLE executions (
    id       BLOB    NOT NULL PRIMARY KEY,
    root     BLOB    NOT NULL,
    parent   BLOB,
    run      INTEGER,
    action   TEXT    NOT NULL,
    runner   TEXT    NOT NULL,
    user     TEXT,
    status   TEXT    NOT NULL,
    -- 0: something is to be done; 1: only waits (pending, delayed, paused); null: final
    stage    INTEGER,
    -- 1 when it runs a stored definition, else null
    workflow INTEGER,
    attempt  INTEGER NOT NULL,
    created  INTEGER NOT NULL,
    started  INTEGER,
    ended    INTEGER,
    version  INTEGER NOT NULL,
    spool    TEXT,
    -- `micros:status micros:status …`: grows by appending
    log      TEXT    NOT NULL,
    notes    TEXT,
    result   TEXT,
    request  TEXT    NOT NULL
) STRICT;
INSERT INTO "executions" VALUES(X'6553F1000102030405000001',X'6553F1000102030405000001',NULL,NULL,'core.noop','noop','ada','succeeded',NULL,NULL,0,1,NULL,NULL,1,NULL,'1:requested 77:succeeded',NULL,'7','{"action":"core.noop","runner":"noop","params":{"message":"hello"},"context":{"user":"ada"},"notify":null,"delay_ms":0}');
INSERT INTO "executions" VALUES(X'6553F1000102030405000002',X'6553F1000102030405000002',NULL,NULL,'core.noop','noop','ada','pending',1,NULL,0,2,NULL,NULL,0,NULL,'2:requested',NULL,NULL,'{"action":"core.noop","runner":"noop","params":{"message":"hello"},"context":{"user":"ada"},"notify":null,"delay_ms":0}');
CREATE TABLE facts (
    execution BLOB    NOT NULL,
    seq       INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    crc       INTEGER NOT NULL,
    json      TEXT    NOT NULL,
    PRIMARY KEY (execution, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO "facts" VALUES(X'6553F1000102030405000001',0,5,853458935,'{"a":1}');
INSERT INTO "facts" VALUES(X'6553F1000102030405000001',1,5,121035453,'{"b":2}');
CREATE TABLE items (
    scope       TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    value       TEXT    NOT NULL,
    secret      INTEGER NOT NULL,
    description TEXT,
    created     INTEGER NOT NULL,
    expires     INTEGER,
    PRIMARY KEY (scope, name)
) STRICT, WITHOUT ROWID;
INSERT INTO "items" VALUES('user:ada','colour','blue',0,NULL,1,NULL);
CREATE TABLE messages (
    channel TEXT    NOT NULL,
    seq     INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    author  TEXT    NOT NULL,
    bot     INTEGER NOT NULL,
    whisper TEXT,
    thread  INTEGER,
    body    TEXT    NOT NULL,
    dedup   TEXT,
    PRIMARY KEY (channel, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO "messages" VALUES('ops',1,1,'ada',0,NULL,NULL,'{"text":"hello"}','x');
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "meta" VALUES('epoch','1');
INSERT INTO "meta" VALUES('identities/ada','[{"network":"terminal","user_id":"bob"}]');
INSERT INTO "meta" VALUES('link/["terminal","","bob"]','ada');
CREATE TABLE outbox (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    network    TEXT    NOT NULL,
    channel    TEXT    NOT NULL,
    thread     TEXT,
    body       TEXT    NOT NULL,
    dedup      TEXT    NOT NULL,
    created    INTEGER NOT NULL,
    not_before INTEGER NOT NULL,
    tries      INTEGER NOT NULL
) STRICT;
INSERT INTO "outbox" VALUES(1,'slack','ops','7','{"text":"done"}','result of 1',1,1,0);
CREATE TABLE outbox_keys (
    dedup TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;
INSERT INTO "outbox_keys" VALUES('result of 1');
CREATE TABLE taken (
    key       TEXT    NOT NULL PRIMARY KEY,
    execution BLOB    NOT NULL,
    at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "taken" VALUES('slack/C1/1',X'6553F1000102030405000001',5);
CREATE TABLE tokens (
    sha       BLOB    NOT NULL PRIMARY KEY,
    user      TEXT    NOT NULL,
    created   INTEGER NOT NULL,
    expires   INTEGER NOT NULL,
    execution BLOB,
    data      TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "tokens" VALUES(X'0101010101010101010101010101010101010101010101010101010101010101','ada',1,100,X'6553F1000102030405000001','{"service":"st2client"}');
CREATE TABLE users (
    name     TEXT    NOT NULL PRIMARY KEY,
    password TEXT,
    roles    TEXT    NOT NULL,
    active   INTEGER NOT NULL,
    created  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "users" VALUES('ada','$argon2id$…','["admin"]',1,1);
CREATE INDEX executions_open ON executions (stage, root) WHERE stage IS NOT NULL;
CREATE INDEX executions_workflows ON executions (root) WHERE workflow IS NOT NULL;
CREATE INDEX executions_tops ON executions (created, id) WHERE parent IS NULL;
CREATE INDEX executions_children ON executions (parent, created, id) WHERE parent IS NOT NULL;
CREATE INDEX executions_all ON executions (created, id);
CREATE INDEX executions_action ON executions (action, created, id);
CREATE INDEX executions_user ON executions (user, created, id) WHERE user IS NOT NULL;
CREATE INDEX executions_bad ON executions (status, created, id)
    WHERE status IN ('failed', 'timeout', 'abandoned', 'canceled');
CREATE INDEX due_at ON due (at);
CREATE INDEX items_expires ON items (expires) WHERE expires IS NOT NULL;
CREATE INDEX outbox_network ON outbox (network);
CREATE UNIQUE INDEX messages_dedup ON messages (channel, dedup) WHERE dedup IS NOT NULL;
CREATE INDEX taken_at ON taken (at);
CREATE INDEX tokens_expires ON tokens (expires);
CREATE UNIQUE INDEX confirmations_open_code ON confirmations (code) WHERE state = 'open';
CREATE INDEX confirmations_code ON confirmations (code);
CREATE INDEX confirmations_expiry ON confirmations (state, expires_at);
CREATE INDEX confirmations_all ON confirmations (held_at, id);
CREATE INDEX confirmations_state ON confirmations (state, held_at, id);
CREATE INDEX confirmations_requester ON confirmations (requester, state, held_at, id);
CREATE INDEX confirmations_channel ON confirmations (network, channel, state, held_at, id) WHERE channel IS NOT NULL;
CREATE INDEX confirmations_root ON confirmations (root, held_at, id);
CREATE INDEX audit_confirmation ON audit (confirmation) WHERE confirmation IS NOT NULL;
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit log is never changed');
END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit log is never shortened');
END;
CREATE TRIGGER audit_no_gap BEFORE INSERT ON audit
WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM audit) BEGIN
    SELECT RAISE(ABORT, 'the audit log has no gaps');
END;
CREATE INDEX tokens_user ON tokens (user);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('outbox',1);
COMMIT;
