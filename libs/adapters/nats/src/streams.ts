import { LIMITS } from '@belfry/protocol';
import type { StreamConfig } from '@nats-io/jetstream';

import { jsApi, jsApiOrThrow, streamInfo } from './api.ts';
import { bucketDefinition } from './buckets.ts';
import type { NatsLink } from './connection.ts';
import { JS, JetStreamError, NatsFailure } from './errors.ts';
import type { NatsNames } from './names.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const NANOS_PER_MS = 1_000_000;
/** Below this an inbox is of no use. */
const SMALLEST_BYTES = 64 * MIB;
const SETUP_TIMEOUT_MS = 10_000;

export interface StreamSettings {
  /** Copies of everything durable: 1, or 3 on a cluster. */
  readonly replicas?: number;
  readonly inboxBytes?: number;
  /** Where an inbox begins that has to be made: behind everything that checkpoints, and owners that go on, have read of another one. */
  readonly inboxFirstSeq?: number;
  readonly ingestBytes?: number;
  /** The same of the ingest stream: acknowledgements of what another one held must not mean what this one holds. */
  readonly ingestFirstSeq?: number;
  readonly rejectedBytes?: number;
}

const INBOX_LOST =
  'The inbox was gone and has been made anew: what was acknowledged, and is neither in a checkpoint nor with an owner that goes on, is lost. Was the data of NATS removed?';

/** What a stream takes with it. */
const LOST = [
  ['inbox', INBOX_LOST],
  [
    'ingest',
    'The ingest stream was gone and has been made anew: what was published, and no gateway had taken yet, is lost.',
  ],
  ['rejected', 'The stream of refused messages was gone and has been made anew: the refusals that it listed are lost.'],
] as const;

export type StreamDefinition = Partial<StreamConfig> & Pick<StreamConfig, 'name' | 'subjects' | 'max_bytes'>;

/**
 * Makes everything durable (inbox, ingest, rejected, the buckets of leases and placement), or brings what exists to these
 * settings. Idempotent; several processes may do it at once. Returns notes for the operator: what had to be smaller than
 * asked for. (The work stream is `NatsWorkQueue.ensure`'s, since it may vanish and come again.)
 * @throws NatsFailure `setup` when a stream exists that can't be made to fit, or cannot be made.
 */
export async function ensureStreams(
  link: NatsLink,
  names: NatsNames,
  settings: StreamSettings = {},
): Promise<string[]> {
  const notes: string[] = [];
  const buckets = [names.buckets.leases, names.buckets.placement];
  const streams = [
    ...definitions(names, settings),
    ...buckets.map((bucket) => bucketDefinition(bucket, settings.replicas ?? 1, Date.now())),
  ];
  for (const definition of streams) {
    const ensured = await ensureStream(link, definition);
    notes.push(...ensured.notes);
    const wasThere = definition.name === names.streams.inbox && (settings.inboxFirstSeq ?? 1) > 1;
    if (ensured.created && wasThere) notes.push(INBOX_LOST);
  }
  return notes;
}

/**
 * Makes those durable streams anew that are gone, though `ensureStreams` has made them: somebody has deleted them. Returns notes for the
 * operator, of what went with them. (Those who use the buckets make them anew themselves.)
 * @throws JetStreamError, NatsFailure or Error
 */
export async function remakeStreams(
  link: NatsLink,
  names: NatsNames,
  settings: Omit<StreamSettings, 'inboxFirstSeq'>,
  inboxFirstSeq: () => Promise<number>,
): Promise<string[]> {
  const { streams } = await jsApiOrThrow<{ readonly streams: readonly string[] | null }>(link, 'STREAM.NAMES', {
    subject: names.subject('belfry.>'),
  });
  const lost = LOST.filter(([stream]) => streams?.includes(names.streams[stream]) !== true);
  if (lost.length === 0) return [];
  const remake = async ([stream, note]: (typeof LOST)[number]): Promise<string[]> => {
    const seq = stream === 'inbox' ? { inboxFirstSeq: await inboxFirstSeq() } : {};
    const wanted = definitions(names, { ...settings, ...seq });
    const definition = wanted.find(({ name }) => name === names.streams[stream]) as StreamDefinition;
    const ensured = await ensureStream(link, definition);
    return [...(ensured.created ? [note] : []), ...ensured.notes];
  };
  // One that cannot be made keeps no other from it; it is looked for again.
  const outcomes = await Promise.allSettled(lost.map(remake));
  const notes = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? outcome.value : []));
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined && notes.length === 0) throw failed.reason;
  return notes;
}

function definitions(names: NatsNames, settings: StreamSettings): StreamDefinition[] {
  const durable = { storage: 'file', num_replicas: settings.replicas ?? 1, max_msg_size: LIMITS.messageBytes } as const;
  return [
    {
      ...durable,
      name: names.streams.inbox,
      subjects: [names.subject('belfry.inbox.*')],
      retention: 'limits',
      // `old` would lose messages silently; and no max_age: what is not checkpointed stays, however long Postgres is away.
      discard: 'new',
      deny_delete: true,
      allow_atomic: true,
      max_bytes: settings.inboxBytes ?? LIMITS.inboxBytes,
      ...(settings.inboxFirstSeq === undefined ? {} : { first_seq: settings.inboxFirstSeq }),
    },
    {
      ...durable,
      name: names.streams.ingest,
      subjects: [names.subject('belfry.v1.*.ingest')],
      retention: 'workqueue',
      discard: 'new',
      max_bytes: settings.ingestBytes ?? GIB,
      ...(settings.ingestFirstSeq === undefined ? {} : { first_seq: settings.ingestFirstSeq }),
    },
    {
      ...durable,
      name: names.streams.rejected,
      subjects: [names.subject('belfry.v1.*.rejected')],
      retention: 'limits',
      discard: 'old',
      max_age: LIMITS.rejectedAgeMs * NANOS_PER_MS,
      max_bytes: settings.rejectedBytes ?? 256 * MIB,
    },
  ];
}

const SHORT_OF_SPACE: ReadonlySet<number> = new Set([
  JS.insufficientResources,
  JS.memoryExceeded,
  JS.storageExceeded,
  JS.noSuitablePeers,
]);

export interface EnsuredStream {
  readonly created: boolean;
  readonly notes: readonly string[];
}

/**
 * One stream: made, updated, or left as it is. The server sets `max_bytes` aside when it makes a stream; where it has not so
 * much, the size is halved until it has.
 */
export async function ensureStream(link: NatsLink, wanted: StreamDefinition): Promise<EnsuredStream> {
  const found = await streamInfo(link, wanted.name);
  if (found.kind === 'ok') return { created: false, notes: await updateStream(link, wanted, found.value.config) };
  if (found.kind === 'unknown' || found.error.errCode !== JS.streamNotFound)
    throw setupFailure(wanted.name, found.error);
  for (let bytes = wanted.max_bytes; ; bytes = Math.floor(bytes / 2)) {
    const made = await jsApi(link, `STREAM.CREATE.${wanted.name}`, { ...wanted, max_bytes: bytes }, SETUP_TIMEOUT_MS);
    if (made.kind === 'ok') {
      return { created: true, notes: bytes === wanted.max_bytes ? [] : [smallerNote(wanted, bytes)] };
    }
    if (made.kind === 'denied' && made.error.errCode === JS.streamNameInUse) {
      const other = await streamInfo(link, wanted.name); // somebody was faster, with other settings
      if (other.kind === 'ok') return { created: false, notes: await updateStream(link, wanted, other.value.config) };
      throw new NatsFailure('connect', `stream ${wanted.name} is being made by somebody else`, { cause: other.error });
    }
    const smaller = made.kind === 'denied' && SHORT_OF_SPACE.has(made.error.errCode) && bytes / 2 >= SMALLEST_BYTES;
    if (!smaller) throw setupFailure(wanted.name, made.error);
  }
}

/** What differs is updated; a larger size that the disk does not offer is left, with a note. */
async function updateStream(link: NatsLink, wanted: StreamDefinition, present: StreamConfig): Promise<string[]> {
  // A stream's first sequence is where it began: no setting of ours later on.
  const { first_seq: _began, ...settable } = wanted;
  const differing = differences(settable, present);
  if (differing.length === 0) return [];
  const merged = { ...present, ...settable };
  const updated = await jsApi(link, `STREAM.UPDATE.${wanted.name}`, merged, SETUP_TIMEOUT_MS);
  if (updated.kind === 'ok') return [];
  if (updated.kind === 'denied' && SHORT_OF_SPACE.has(updated.error.errCode) && wanted.max_bytes > present.max_bytes) {
    const rest = await updateStream(link, { ...wanted, max_bytes: present.max_bytes }, present);
    return [smallerNote(wanted, present.max_bytes), ...rest];
  }
  throw setupFailure(wanted.name, updated.error, differing);
}

function differences(wanted: Partial<StreamConfig>, present: StreamConfig): string[] {
  const present_ = present as unknown as { readonly [setting: string]: unknown };
  return Object.entries(wanted)
    .filter(([setting, value]) => JSON.stringify(present_[setting] ?? false) !== JSON.stringify(value ?? false))
    .map(
      ([setting, value]) => `${setting} is ${JSON.stringify(present_[setting])}, should be ${JSON.stringify(value)}`,
    );
}

function setupFailure(stream: string, error: Error, differing: readonly string[] = []): NatsFailure {
  const hint = differing.length === 0 ? '' : ` It exists with other settings: ${differing.join('; ')}.`;
  const code = error instanceof JetStreamError ? 'setup' : 'connect';
  return new NatsFailure(code, `stream ${stream} cannot be set up: ${error.message}.${hint}`, { cause: error });
}

function smallerNote(wanted: StreamDefinition, bytes: number): string {
  const place = wanted.storage === 'memory' ? 'memory' : 'disk';
  return `stream ${wanted.name} has ${Math.round(bytes / MIB)} MiB instead of ${Math.round(wanted.max_bytes / MIB)}: the server's ${place} offers no more.`;
}
