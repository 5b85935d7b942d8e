-- The tables of release 0.3.0 (revision 0008), as SQLite has them.
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE callers (
    id VARCHAR(40) NOT NULL,
    name VARCHAR(100) NOT NULL,
    requests_per_minute INTEGER,
    flags JSON NOT NULL,
    created_at DOUBLE NOT NULL,
    weight DOUBLE NOT NULL,
    priority INTEGER NOT NULL,
    virtual_time DOUBLE NOT NULL,
    CONSTRAINT pk_callers PRIMARY KEY (id),
    CONSTRAINT uq_callers_name UNIQUE (name)
);
CREATE TABLE files (
    id VARCHAR(40) NOT NULL,
    caller_id VARCHAR(40) NOT NULL,
    filename TEXT NOT NULL,
    purpose VARCHAR(20) NOT NULL,
    bytes BIGINT NOT NULL,
    created_at DOUBLE NOT NULL,
    complete BOOLEAN NOT NULL,
    batch_id VARCHAR(40),
    CONSTRAINT pk_files PRIMARY KEY (id),
    CONSTRAINT fk_files_caller_id FOREIGN KEY(caller_id) REFERENCES callers (id)
);
CREATE TABLE batches (
    id VARCHAR(40) NOT NULL,
    caller_id VARCHAR(40) NOT NULL,
    endpoint VARCHAR(100) NOT NULL,
    input_file_id VARCHAR(40) NOT NULL,
    completion_window VARCHAR(10) NOT NULL,
    batch_metadata JSON,
    request_id VARCHAR(100) NOT NULL,
    status VARCHAR(20) NOT NULL,
    errors JSON,
    total INTEGER NOT NULL,
    completed INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    output_file_id VARCHAR(40),
    error_file_id VARCHAR(40),
    created_at DOUBLE NOT NULL,
    expires_at DOUBLE NOT NULL,
    in_progress_at DOUBLE,
    finalizing_at DOUBLE,
    completed_at DOUBLE,
    failed_at DOUBLE,
    expired_at DOUBLE,
    cancelling_at DOUBLE,
    cancelled_at DOUBLE,
    retry_of VARCHAR(40),
    CONSTRAINT pk_batches PRIMARY KEY (id),
    CONSTRAINT fk_batches_caller_id FOREIGN KEY(caller_id) REFERENCES callers (id)
);
CREATE TABLE webhooks (
    id VARCHAR(40) NOT NULL,
    caller_id VARCHAR(40) NOT NULL,
    url TEXT NOT NULL,
    events JSON NOT NULL,
    secret VARCHAR(100) NOT NULL,
    previous_secret VARCHAR(100),
    previous_until DOUBLE,
    created_at DOUBLE NOT NULL,
    disabled_at DOUBLE,
    name VARCHAR(100) NOT NULL,
    updated_at DOUBLE NOT NULL,
    CONSTRAINT pk_webhooks PRIMARY KEY (id),
    CONSTRAINT fk_webhooks_caller_id FOREIGN KEY(caller_id) REFERENCES callers (id)
);
CREATE TABLE api_keys (
    id VARCHAR(40) NOT NULL,
    caller_id VARCHAR(40) NOT NULL,
    hash BLOB NOT NULL,
    created_at DOUBLE NOT NULL,
    revoked_at DOUBLE,
    CONSTRAINT pk_api_keys PRIMARY KEY (id),
    CONSTRAINT fk_api_keys_caller_id FOREIGN KEY(caller_id) REFERENCES callers (id)
);
CREATE TABLE batch_items (
    id INTEGER NOT NULL,
    batch_id VARCHAR(40) NOT NULL,
    seq INTEGER NOT NULL,
    custom_id TEXT NOT NULL,
    status VARCHAR(20) NOT NULL,
    body BLOB NOT NULL,
    response BLOB,
    error_code VARCHAR(100),
    error_message TEXT,
    attempt INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    not_before DOUBLE NOT NULL,
    owner VARCHAR(100),
    finished_at DOUBLE,
    place INTEGER,
    alone BOOLEAN NOT NULL,
    CONSTRAINT pk_batch_items PRIMARY KEY (id),
    CONSTRAINT fk_batch_items_batch_id FOREIGN KEY(batch_id) REFERENCES batches (id) ON DELETE CASCADE,
    CONSTRAINT uq_batch_items_batch_id_seq UNIQUE (batch_id, seq)
);
CREATE TABLE deliveries (
    batch_id VARCHAR(40) NOT NULL,
    lane INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    heartbeat_at DOUBLE NOT NULL,
    CONSTRAINT pk_deliveries PRIMARY KEY (batch_id, lane),
    CONSTRAINT fk_deliveries_batch_id FOREIGN KEY(batch_id) REFERENCES batches (id) ON DELETE CASCADE
);
CREATE TABLE file_chunks (
    file_id VARCHAR(40) NOT NULL,
    seq INTEGER NOT NULL,
    data BLOB NOT NULL,
    CONSTRAINT pk_file_chunks PRIMARY KEY (file_id, seq),
    CONSTRAINT fk_file_chunks_file_id FOREIGN KEY(file_id) REFERENCES files (id) ON DELETE CASCADE
);
CREATE TABLE idempotency_keys (
    caller_id VARCHAR(40) NOT NULL,
    key VARCHAR(255) NOT NULL,
    fingerprint BLOB NOT NULL,
    answer BLOB,
    created_at DOUBLE NOT NULL,
    CONSTRAINT pk_idempotency_keys PRIMARY KEY (caller_id, key),
    CONSTRAINT fk_idempotency_keys_caller_id FOREIGN KEY(caller_id) REFERENCES callers (id)
);
CREATE TABLE jobs (
    id VARCHAR(40) NOT NULL,
    caller_id VARCHAR(40),
    name VARCHAR(100) NOT NULL,
    subject JSON NOT NULL,
    status VARCHAR(20) NOT NULL,
    progress JSON,
    result JSON,
    error_code VARCHAR(100),
    error_message TEXT,
    request_id VARCHAR(100) NOT NULL,
    traceparent VARCHAR(100),
    scheduled BOOLEAN NOT NULL,
    attempt INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    not_before DOUBLE NOT NULL,
    owner VARCHAR(100),
    deadline_at DOUBLE NOT NULL,
    created_at DOUBLE NOT NULL,
    started_at DOUBLE,
    finished_at DOUBLE,
    CONSTRAINT pk_jobs PRIMARY KEY (id),
    CONSTRAINT fk_jobs_caller_id FOREIGN KEY(caller_id) REFERENCES callers (id)
);
CREATE TABLE leases (
    id VARCHAR(100) NOT NULL,
    expires_at DOUBLE NOT NULL,
    CONSTRAINT pk_leases PRIMARY KEY (id)
);
CREATE TABLE pauses (
    subject VARCHAR(40) NOT NULL,
    since DOUBLE NOT NULL,
    CONSTRAINT pk_pauses PRIMARY KEY (subject)
);
CREATE TABLE schedules (
    name VARCHAR(100) NOT NULL,
    tick DOUBLE NOT NULL,
    CONSTRAINT pk_schedules PRIMARY KEY (name)
);
CREATE TABLE usage (
    caller_id VARCHAR(40) NOT NULL,
    day VARCHAR(10) NOT NULL,
    model VARCHAR(200) NOT NULL,
    requests BIGINT NOT NULL,
    prompt_tokens BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL,
    CONSTRAINT pk_usage PRIMARY KEY (caller_id, day, model),
    CONSTRAINT fk_usage_caller_id FOREIGN KEY(caller_id) REFERENCES callers (id)
);
CREATE TABLE webhook_deliveries (
    id VARCHAR(40) NOT NULL,
    webhook_id VARCHAR(40) NOT NULL,
    event VARCHAR(40) NOT NULL,
    subject_id VARCHAR(40) NOT NULL,
    payload BLOB NOT NULL,
    status VARCHAR(20) NOT NULL,
    attempt INTEGER NOT NULL,
    next_at DOUBLE NOT NULL,
    last_status INTEGER,
    last_error TEXT,
    created_at DOUBLE NOT NULL,
    finished_at DOUBLE,
    CONSTRAINT pk_webhook_deliveries PRIMARY KEY (id),
    CONSTRAINT fk_webhook_deliveries_webhook_id FOREIGN KEY(webhook_id) REFERENCES webhooks (id) ON DELETE CASCADE,
    CONSTRAINT uq_webhook_deliveries_webhook_id_event_subject_id UNIQUE (webhook_id, event, subject_id)
);
CREATE TABLE workers (
    id VARCHAR(40) NOT NULL,
    host VARCHAR(255) NOT NULL,
    pid INTEGER NOT NULL,
    started_at DOUBLE NOT NULL,
    seen_at DOUBLE NOT NULL,
    CONSTRAINT pk_workers PRIMARY KEY (id)
);
INSERT INTO alembic_version VALUES('0008');
CREATE INDEX ix_batches_caller ON batches (caller_id, id);
CREATE INDEX ix_batches_open ON batches (status, expires_at);
CREATE INDEX ix_files_caller ON files (caller_id, id);
CREATE INDEX ix_webhook_deliveries_due ON webhook_deliveries (next_at) WHERE status = 'pending';
CREATE INDEX ix_webhooks_caller ON webhooks (caller_id, id);
CREATE INDEX ix_batch_items_owner ON batch_items (owner) WHERE status = 'running';
CREATE INDEX ix_batch_items_claim ON batch_items (batch_id, not_before, seq) WHERE status = 'pending';
CREATE INDEX ix_batch_items_unplaced ON batch_items (batch_id, seq) WHERE place IS NULL AND finished_at IS NOT NULL;
CREATE UNIQUE INDEX ix_batch_items_place ON batch_items (batch_id, place) WHERE place IS NOT NULL;
CREATE INDEX ix_jobs_caller ON jobs (caller_id, id);
CREATE INDEX ix_jobs_queued ON jobs (not_before) WHERE status = 'queued';
CREATE INDEX ix_jobs_owner ON jobs (owner) WHERE status IN ('running', 'cancelling');
