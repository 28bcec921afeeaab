/**
 * Every limit of Belfry, in one place, with the relations that must hold between them.
 * Units are in the names. `checkLimits` runs when a program starts.
 */
export const LIMITS = {
  /** Items in one `tasks.create` request, and results in one `executions.finish` request. */
  batchItems: 1_000,
  /** Bytes of one NATS message (the server's `max_payload`). */
  messageBytes: 1_048_576,
  /** Bytes of one task's payload, as JSON text in UTF-8. */
  payloadBytes: 256 * 1024,
  /** Arrays and objects within one another in a payload or a result: what JSON readers of all languages can take. */
  jsonDepth: 500,
  /** Bytes of one task's metadata labels, as JSON text. */
  metadataBytes: 4 * 1024,
  /** Labels of one task. */
  metadataLabels: 32,
  /** Characters of a label's value. */
  labelValueChars: 256,
  /** Characters of an idempotency key. */
  keyChars: 256,
  /** Characters of a client's command id. */
  commandIdChars: 128,
  /** Characters of a cron expression, and of every other text of a schedule. */
  cronChars: 256,
  /** Items of a list in a schedule: expressions, calendars. */
  scheduleItems: 10,
  /** Bytes of one calendar, as JSON text, and calendars of one namespace: each shard keeps all of them. */
  calendarBytes: 64 * 1024,
  calendars: 200,
  /** Characters of namespace, queue, handler and worker names. */
  nameChars: 64,
  /** Characters of an error message that is kept with an attempt. */
  errorChars: 2_000,
  /** Bytes of a handler's result that is kept in the history, as JSON text. */
  resultBytes: 8 * 1024,
  /** Attempts that a retry policy may ask for. */
  retryAttempts: 100,
  /** Ceiling of a backoff delay. */
  retryDelayMs: 7 * 86_400_000,
  /** Longest time a handler may run. */
  timeoutMs: 7 * 86_400_000,
  /** Attempts that may be lost with their workers before the execution is a dead letter. */
  lostAttempts: 5,
  /** Ended attempts that are kept with an execution; of more, those that were given back unrun go first. */
  attemptsKept: 200,
  /** Times that one message may crash a shard before it is quarantined. */
  crashesBeforeQuarantine: 3,
  /** Latest instant of a schedule: 9999-12-31T23:59:59.999Z. */
  latestMs: 253_402_300_799_999,
  /** How far in the past a one-time task's `at` may lie; older is refused as a mistake. */
  atPastMs: 86_400_000,
  /** Lateness at which a fire counts as missed, and its task's catch-up policy decides about it; earlier, every fire runs. */
  catchUpAfterMs: 60_000,
  /** Window of the policy `all` of recurring tasks, unless they state one; and the longest that they may state. */
  catchUpWindowMs: 3_600_000,
  catchUpMaxWindowMs: 30 * 86_400_000,
  /** Missed fires that one node dispatches a second, beside what is punctual. */
  lateFiresASecond: 2_000,
  /** Missed fires that are counted one by one when a task skips them; beyond, the count is a lower bound unless the schedule is a fixed interval. */
  countedSkips: 100,
  /** Due fires that run on when the schedule of a recurring task changes, or of several tasks by a calendar: the latest; others are skipped. */
  dueAtChange: 10_000,
  /** Tasks that a node looks at in one tick, to see whether a fire is missing. */
  auditTasks: 32,
  /** Missing fires that a shard tells and counts between two takeovers. */
  auditFindings: 1_000,
  /** Spans of time that a shard remembers as unwatched. */
  gaps: 8,
  /** Grid on which fires of precision normal, and of low, are dispatched. */
  normalGridMs: 100,
  lowGridMs: 1_000,
  /** How far the clocks of nodes and broker may differ before a proof of dispatch is doubted. */
  clockSlackMs: 60_000,
  /** Clock skew at which the operator is told, and below which that ends. */
  clockAlertMs: 1_000,
  clockCalmMs: 500,
  /** Clock skew at which a node gives up its shards and its gateway takes no tasks; it is healthy again below `clockAlertMs`. */
  clockUnfitMs: 5_000,
  /** How often a node looks at the clocks of others, how many looks in a row it takes to change its mind, and for how long one counts. */
  clockRoundMs: 1_000,
  clockConfirmations: 3,
  clockSourceMs: 10_000,
  /** How far the send time that a client states may be off before its reply has a warning. */
  clientSkewMs: 5_000,
  /** How long command ids and the tombstones of keyed tasks are remembered. */
  rememberMs: 86_400_000,
  /** Fires shown in the reply to a create. */
  nextFires: 3,
  /** Fires of one `schedules.preview`. */
  previewFires: 1_000,
  /** Distinct recurring schedules that one `schedules.forecast` looks at, those of most tasks first. */
  forecastSchedules: 20_000,
  /** Fires that one `tasks.explain` tells, and that it looks at: a wider span is refused. */
  explainFires: 200,
  explainLooks: 20_000,
  /** Rows of one `tasks.list` or `tasks.history` page. */
  pageRows: 1_000,

  /** Messages of one atomic batch (a server's own limit). */
  batchMessages: 1_000,
  /** Records of one group commit; more wait for the next. */
  groupCommitRecords: 4_000,
  /** Bytes of one envelope: it must fit a message. */
  envelopeBytes: 900_000,
  /** Bytes of the envelopes of different shards that are stored as one inbox message. */
  bundleBytes: 900_000,
  /** Bytes of one group commit. */
  groupCommitBytes: 16 * 1024 * 1024,
  /** Group commits in flight at one gateway. */
  groupCommitsInFlight: 4,
  /** Records that wait at one gateway; more are refused with `overloaded`. */
  gatewayPending: 50_000,
  /** The same in bytes. */
  gatewayPendingBytes: 256 * 1024 * 1024,
  /** Share of both at which creates are refused: the rest is for results and cancels. */
  gatewayRefuseCreates: 0.7,
  /** How often a gateway counts the minutes that were chosen for schedules with a window, and the texts of one count. */
  slotsMs: 600_000,
  slotTexts: 20_000,
  /** Schedules, and targets, whose encoded forms one gateway keeps at hand. */
  gatewayCacheEntries: 10_000,
  /** Queues that workers may subscribe to through one gateway: each is a consumer in the broker. */
  queues: 1_000,
  /** Messages that wait in one actor's mailbox before reading the inbox pauses. */
  mailboxMessages: 10_000,
  /** Executions of one dispatch batch of one shard. */
  dispatchBatch: 250,
  /** Executions of one work message, and its bytes. */
  parcelItems: 32,
  parcelBytes: 64 * 1024,
  /** For how long a dispatch whose fate is unknown is repeated. The broker knows it again for two minutes; later, it would be a second one. */
  dispatchRepeatMs: 60_000,
  /** Dispatch window: this many times the workers' slots. */
  dispatchWindow: 1.5,
  /** Bytes of payloads that a scheduler keeps at hand. */
  payloadCacheBytes: 128 * 1024 * 1024,
  /** How long before a fire its payload is fetched. */
  payloadAheadMs: 5_000,
  /** Payloads of one query. */
  payloadQueryRows: 1_000,
  /** Payloads that are waited for, at which none are fetched ahead: each fire still asks for its own when it is dispatched. */
  payloadsWaiting: 50_000,
  /** Longest time between two checkpoints of a node. */
  checkpointMs: 1_000,
  /** Rows that wait for a checkpoint before it starts early. */
  checkpointRows: 20_000,
  /** Rows that wait for a checkpoint before the inbox is read no further. */
  checkpointBacklogRows: 200_000,
  /** Characters of payloads, labels and results that wait for one before that, all shards of a node together. */
  checkpointBacklogChars: 256 * 1024 * 1024,

  /** How long the inbox is kept. */
  inboxAgeMs: 86_400_000,
  /** Bytes of the inbox. */
  inboxBytes: 8 * 1024 * 1024 * 1024,
  /** Share of `inboxBytes` at which creates are refused. */
  inboxRefuseCreates: 0.7,
  /** Share of `inboxBytes` at which dispatch stops: the rest is for results and cancels. */
  inboxStopDispatch: 0.85,
  /** How long finished executions stay in the history. */
  historyDays: 90,
  /** Days of history partitions that are made ahead. */
  historyDaysAhead: 7,
  /** How long a publish to ingest stays with a gateway that says nothing, before another gets it. */
  ingestLeaseMs: 3_000,
  /** How long refused ingest messages stay listable. */
  rejectedAgeMs: 7 * 86_400_000,
  /** Characters of a refused task that its rejected message shows. */
  rejectedTaskChars: 4_000,

  /** How long a work message is leased to a worker before it is delivered again: what the SDK's workers ask for, and what may be asked for. */
  workLeaseMs: 8_000,
  workLeaseMinMs: 6_000,
  /** For how long nobody else is told to run a redelivered message: who holds it, too, asks by then. Who is dead by then, its lease outlasts. */
  toldMs: 5_000,
  workLeaseMaxMs: 3_600_000,
  /** The lease of a worker that does not say which. */
  ackWaitMs: 30_000,
  /** How long a worker's lease counts after it was last told: one that stood still, or was cut off, takes work as soon as it is back. */
  leaseKeptMs: 300_000,
  /** How long, on top of its lease, an execution without a sign of life stays with its worker after the work stream was lost. */
  lostContactMs: 2_000,
  /** A worker's heartbeat interval, and the silence after which its slots don't count. */
  workerHeartbeatMs: 1_000,
  workerSilentMs: 5_000,
  /** Executions that one worker runs at the same time; what its heartbeats say beyond is not counted. */
  workerCapacity: 10_000,
  /** Executions that one heartbeat names; what waits to be accepted may be more than what runs. */
  heartbeatExecutions: 20_000,
  /** Workers known to one scheduler. */
  workers: 20_000,
  /** A scheduler node's heartbeat interval, and the silence after which its shards move. */
  nodeHeartbeatMs: 500,
  nodeSilentMs: 2_500,
  /** A node that has heard nothing of the broker for so long sends no heartbeats. */
  nodeDeafMs: 2_000,
  /** Silence after which a node is asked, and given up when nobody serves its address: its process has ended. */
  nodeGoneMs: 1_000,
  /** A node that is lost again within the window is held back for so long, doubling with each loss up to the maximum. */
  flapWindowMs: 600_000,
  flapHoldMs: 10_000,
  flapMaxHoldMs: 300_000,
  /** How often each process tells of itself, for operators. */
  processHeartbeatMs: 1_000,
  /** For so long all processes must have read a level before the cluster writes at it. */
  levelSettleMs: 10_000,
  /** Processes that a supervisor knows of, and nodes that may be drained. */
  processes: 1_000,
  drainedNodes: 1_000,
  /** The supervisor's lease in the broker: its TTL, how often it is renewed, and when its holder stops trusting it. */
  leaseTtlMs: 20_000,
  leaseRenewMs: 4_000,
  leaseTrustMs: 12_000,
  /** Silence of the leading supervisor after which a stand-by does not wait for its lease to end. */
  leaderSilentMs: 3_000,
  /** How long a new owner waits for the old one's last checkpoint. */
  releaseMs: 3_000,
  /** How long an owner has to say that it is alive, before a shard is taken from it without its last checkpoint. */
  prepareMs: 500,
  /** Shards, and tasks in them, that are handed over at the same time: they stand still together. */
  handOverShards: 4,
  handOverTasks: 8_000,
  /** Tasks that may change while a shard's next owner loads it: of more, all rows are loaded again. Their ids are one message. */
  handOverChanges: 4_000,
  /** How long a node warms up at most before it takes shards from their owners, and how long it rests after each group. */
  handOverWarmMs: 2_000,
  handOverRestMs: 20,
  /** Connections of a process that ask for payloads. */
  payloadConnections: 3,
  /** How long a stopping node waits for others to come for its shards, before it lets go of them all at once. */
  departMs: 10_000,
  /** How long a stopping program tries to hand its shards over; a gateway's last answers (`answerMs`) are part of it. */
  handOverMs: 25_000,
  /** How long a gateway waits for a shard's answer before it says `unavailable`. */
  answerMs: 10_000,
  /** How long it waits for one answer to a query, before it asks again: the owner may be paused, and the shard's with another by then. */
  askMs: 2_000,
  /** How long it waits for the answer to a result that is on disk, before it says `ok` by itself. */
  resultAnswerMs: 5_000,
  /** How long a program tries to reach NATS and Postgres at start before it gives up. */
  connectMs: 60_000,
} as const;

/** Returns a sentence for each relation that does not hold; none in a sound build. */
export function checkLimits(l: { readonly [K in keyof typeof LIMITS]: number } = LIMITS): string[] {
  const relations: [boolean, string][] = [
    [
      // Both stand in a record as JSON texts in JSON, which doubles quotes and backslashes at worst.
      2 * (l.payloadBytes + l.metadataBytes) + 16_384 < l.envelopeBytes,
      'a task with its payload and metadata must fit an envelope',
    ],
    [l.retryAttempts + l.lostAttempts < l.attemptsKept, 'all attempts that failed or were lost are kept'],
    [2 * l.calendarBytes + 4_096 < l.envelopeBytes, 'a calendar must fit an envelope'],
    [l.envelopeBytes <= l.bundleBytes, 'an envelope must fit a bundle'],
    // A bundle's head has a shard and a length for each of its envelopes.
    [l.bundleBytes + l.batchMessages * 16 + 4_096 < l.messageBytes, 'a bundle must fit a message'],
    [l.envelopeBytes <= l.groupCommitBytes, 'an envelope must fit a group commit'],
    [l.groupCommitBytes < l.gatewayPendingBytes * l.gatewayRefuseCreates, 'a group commit fits what may wait'],
    [l.batchItems < l.gatewayPending * l.gatewayRefuseCreates, 'a whole request fits what may wait'],
    [
      l.answerMs + l.departMs + l.releaseMs < l.handOverMs,
      'a program that stops can answer and hand over before it gives up',
    ],
    [l.askMs * 4 <= l.answerMs, 'a query meets the next owner of a shard, though the one before does not answer'],
    [l.prepareMs < l.releaseMs, 'an owner says that it is alive before it has written its last checkpoint'],
    [
      l.prepareMs + l.handOverWarmMs < l.releaseMs,
      'a node that stops waits for the next owner of its shards while that one warms up',
    ],
    [l.resultAnswerMs < l.answerMs, 'a result that is on disk is answered before the wait for answers ends'],
    [l.payloadBytes + l.metadataBytes + l.parcelBytes < l.messageBytes, 'a parcel must fit a message'],
    [l.dispatchBatch <= l.batchMessages, 'a dispatch batch must fit an atomic batch'],
    [
      l.inboxRefuseCreates < l.inboxStopDispatch && l.inboxStopDispatch < 1,
      'creates are refused before dispatch stops',
    ],
    [
      l.leaseRenewMs < l.leaseTrustMs && l.leaseTrustMs < l.leaseTtlMs,
      'a lease is renewed before it is distrusted, and distrusted before it ends',
    ],
    // An id has 44 characters at most, a queue's name 64.
    [l.heartbeatExecutions * 47 + l.queues * 67 + 1_024 < l.messageBytes, 'a heartbeat must fit a message'],
    [l.workerCapacity <= l.heartbeatExecutions, 'a heartbeat names all that a worker runs'],
    [l.workerHeartbeatMs * 3 <= l.workerSilentMs, 'a worker may miss two heartbeats'],
    [l.nodeHeartbeatMs * 3 <= l.nodeSilentMs, 'a node may miss two heartbeats'],
    [l.nodeHeartbeatMs * 3 <= l.nodeDeafMs, 'a node that misses two answers is not deaf'],
    [
      l.nodeHeartbeatMs * 2 <= l.nodeGoneMs && l.nodeGoneMs < l.nodeSilentMs,
      'a node whose process has ended is given up before one that is only silent, and may miss a heartbeat',
    ],
    [
      l.flapHoldMs <= l.flapMaxHoldMs && l.flapMaxHoldMs <= l.flapWindowMs,
      'a node that was held back for the longest time is known for it when it comes',
    ],
    [l.processHeartbeatMs * 5 <= l.levelSettleMs, 'a process that misses some heartbeats is not forgotten by levels'],
    [l.nodeHeartbeatMs * 3 <= l.leaderSilentMs, 'a leader may miss two heartbeats'],
    [l.checkpointRows < l.checkpointBacklogRows, 'a checkpoint starts before reading stops'],
    [l.groupCommitRecords <= l.gatewayPending, 'a group commit fits what may wait'],
    [l.nodeSilentMs + l.releaseMs < l.catchUpAfterMs, 'a failover is over before the fires in it count as missed'],
    [
      l.catchUpAfterMs <= l.catchUpWindowMs && l.catchUpWindowMs <= l.catchUpMaxWindowMs,
      'a window of catch-up holds missed fires',
    ],
    [l.normalGridMs < 1_000 && l.lowGridMs < 10_000, 'a grid of dispatch is finer than the precision that is promised'],
    [
      l.clockCalmMs < l.clockAlertMs && l.clockAlertMs < l.clockUnfitMs,
      'a clock that is off is told before it costs shards, and is calm below both',
    ],
    [l.clockUnfitMs < l.clockSlackMs, 'a node with a clock that no proof of dispatch allows for has no shards'],
    [l.clockRoundMs * l.clockConfirmations < l.clockSourceMs, 'a look at a clock counts until its confirmation'],
    [l.nodeHeartbeatMs * 3 <= l.clockSourceMs, "a peer's clock counts though two heartbeats are missed"],
    [l.clockUnfitMs <= l.clientSkewMs, 'a gateway that warns a client of its clock is itself less far off'],
    [l.workerSilentMs < l.workLeaseMinMs, 'a silent worker is noticed before its lease ends'],
    [l.toldMs < l.workLeaseMinMs, 'a message whose worker died is not delivered again before another may run it'],
    [l.ackWaitMs < l.leaseKeptMs, 'a worker that was silent past its lease finds it as it was'],
    [
      l.workLeaseMinMs <= l.workLeaseMs && l.workLeaseMs <= l.workLeaseMaxMs && l.ackWaitMs <= l.workLeaseMaxMs,
      'a lease that nobody chose is one that may be chosen',
    ],
    [
      l.workerHeartbeatMs < l.lostContactMs,
      'what a worker holds is named once more before its lease has run out for sure',
    ],
  ];
  return relations.filter(([holds]) => !holds).map(([, sentence]) => sentence);
}
