-- format1_results.sql -- a results file of version 1, as the first program of the format wrote it.
PRAGMA application_id = 1297041746;
PRAGMA user_version = 1;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE experiment (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    name TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('sweep', 'compare')),
    path TEXT NOT NULL,
    file TEXT NOT NULL,
    asked TEXT NOT NULL,
    strategy TEXT CHECK (strategy IN ('grid', 'random', 'halving')),
    reference TEXT,
    tune_key TEXT,
    machine TEXT NOT NULL,
    created REAL NOT NULL);
INSERT INTO experiment VALUES(1,'gold','compare','compare.yaml',replace('name: gold\nbudget: {steps: 40}\n','\n',char(10)),replace('name: gold\nbudget: 40 steps\n','\n',char(10)),NULL,'dense','optimizer.learning_rate','2 cores',1795382790.1143062115);
CREATE TABLE seeds (place INTEGER PRIMARY KEY, seed INTEGER NOT NULL UNIQUE);
INSERT INTO seeds VALUES(0,1);
INSERT INTO seeds VALUES(1,2);
CREATE TABLE variants (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    config TEXT NOT NULL,
    match TEXT NOT NULL CHECK (match IN ('none', 'active_params', 'total_params', 'flops', 'wall_clock')),
    matched_to TEXT,
    wanted REAL,
    got REAL,
    steps INTEGER NOT NULL,
    step_tokens INTEGER NOT NULL,
    total INTEGER NOT NULL,
    active INTEGER NOT NULL,
    experts INTEGER NOT NULL,
    flops_per_token REAL NOT NULL,
    memory_bytes INTEGER NOT NULL);
INSERT INTO variants VALUES(0,'v0001','base.yaml','none',NULL,NULL,NULL,40,480,5000000000,123456,8,625000.0,12884901888);
INSERT INTO variants VALUES(1,'dense','base.yaml','flops','v0001',625000.0,625000.0100000000093,40,480,1,1,0,625000.0100000000093,0);
CREATE TABLE settings (
    variant INTEGER NOT NULL REFERENCES variants,
    list TEXT NOT NULL CHECK (list IN ('set', 'chosen')),
    place INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (variant, list, place)) WITHOUT ROWID;
INSERT INTO settings VALUES(0,'chosen',0,'model.router','sigmoid');
INSERT INTO settings VALUES(0,'set',0,'model.router','sigmoid');
INSERT INTO settings VALUES(1,'chosen',0,'model.num_local_experts','0');
INSERT INTO settings VALUES(1,'set',0,'model.num_local_experts','0');
CREATE TABLE trials (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    variant INTEGER NOT NULL REFERENCES variants,
    stage TEXT NOT NULL CHECK (stage IN ('tune', 'main', 'timing')),
    seed INTEGER NOT NULL,
    tuned TEXT,
    rung INTEGER NOT NULL,
    target_step INTEGER NOT NULL,
    step INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done', 'failed')),
    message TEXT,
    started REAL,
    ended REAL,
    loss REAL,
    seconds REAL,
    step_seconds REAL,
    max_vio REAL,
    entropy REAL,
    dropped REAL);
INSERT INTO trials VALUES(1,'v0001.s1',0,'main',1,NULL,0,40,40,'done',NULL,1700000000.0,1700000003.5,0.3000000000000000444,2.5,0.0625,0.5,NULL,0.0);
INSERT INTO trials VALUES(2,'dense.tune.3e-3',1,'tune',1,'3e-3',0,20,3,'failed','step 4: the loss is ''nan''',1700000000.0,1700000001.0,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO trials VALUES(3,'dense.time1',1,'timing',1,NULL,0,10,0,'waiting',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO trials VALUES(4,'v0001.s2',0,'main',2,NULL,1,40,0,'waiting',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE evaluations (
    trial INTEGER NOT NULL REFERENCES trials,
    step INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    flops REAL,
    seconds REAL,
    train_loss REAL,
    validation_loss REAL,
    PRIMARY KEY (trial, step)) WITHOUT ROWID;
INSERT INTO evaluations VALUES(1,20,9600,6000000000.0,1.25,2.5,2.75);
INSERT INTO evaluations VALUES(1,40,19200,12000000000.0,2.5,2.25,0.3000000000000000444);
COMMIT;
