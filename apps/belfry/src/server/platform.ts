import {
  connectNats,
  ensureStreams,
  natsNames,
  NatsInbox,
  NatsLeaseStore,
  NatsPlacementStore,
  NatsWorkQueue,
  remakeStreams,
  type NatsLink,
} from '@belfry/adapter-nats';
import { connectPostgres, type PostgresLink } from '@belfry/adapter-postgres';
import type { Messenger } from '@belfry/actor-runtime';
import type { Log } from '@belfry/scheduler';
import { LIMITS } from '@belfry/protocol';
import type { ProcessClock } from './clock.ts';
import { natsMessenger } from './messenger.ts';
import { untilSetUp } from './set-up.ts';

/** More messages than an inbox has room for. */
const SEQS_OF_INBOX = 2 ** 32;
/** More than a stream takes. */
const SEQS_A_MS = 1_024;

/**
 * Where a stream begins that is made anew: behind all that any of its name ever had. An owner that goes on has read more than its checkpoint
 * says, and must not take the first messages of the new one for such; nor may this repeat one that was made anew and lost again before any
 * checkpoint. Below 2^53 until the year 2248.
 */
function anewSeq(clock: ProcessClock, highestSeq = 0): number {
  return Math.max(highestSeq + SEQS_OF_INBOX, Math.floor(clock.wall()) * SEQS_A_MS);
}

/** The two servers that Belfry stands on, connected and set up. */
export interface Platform {
  readonly link: NatsLink;
  readonly postgres: PostgresLink;
  readonly shards: number;
  readonly inbox: NatsInbox;
  readonly work: NatsWorkQueue;
  readonly leases: NatsLeaseStore;
  readonly placements: NatsPlacementStore;
  readonly messenger: Messenger;
  readonly warnings: readonly string[];
  /** Makes durable streams anew that somebody has deleted; returns what went with them. */
  remakeStreams(): Promise<readonly string[]>;
  close(): Promise<void>;
}

export interface PlatformOptions {
  readonly natsUrl: string;
  readonly postgresUrl: string;
  readonly node: string;
  /** Of a new installation; an existing one knows its own. */
  readonly shards: number;
  readonly replicas: number;
  readonly log: Log;
  readonly clock: ProcessClock;
  readonly connectMs?: number;
}

/**
 * Connects, migrates the schema and makes the streams.
 * @throws after `connectMs`, with a message that names the server that could not be reached.
 */
export async function openPlatform(options: PlatformOptions): Promise<Platform> {
  const { clock, log, node } = options;
  const timeoutMs = options.connectMs ?? LIMITS.connectMs;
  const retrying = (server: string) => (error: Error, attempt: number) => {
    if (attempt === 1 || attempt % 5 === 0)
      log.warn(`${server} cannot be reached yet, trying again`, { error: error.message, attempt });
  };
  const link = await connectNats(options.natsUrl, { name: `belfry ${node}`, timeoutMs, onRetry: retrying('NATS') });
  try {
    const postgres = await connectPostgres(options.postgresUrl, {
      timeoutMs,
      now: () => clock.wall(),
      onRetry: retrying('Postgres'),
    });
    link.onStatus((status) => {
      if (status.kind === 'disconnected') log.warn('NATS is away');
      else if (status.kind === 'reconnected') log.info('NATS is back');
      else if (status.kind === 'error') log.warn('NATS reports an error', { error: status.error.message });
    });
    await postgres.migrate();
    const shards = await postgres.ensureInstallation(options.shards);
    await postgres.ensurePartitions(clock.wall());
    const names = natsNames();
    const { replicas } = options;
    const highestSeq = await postgres.highestCheckpointSeq();
    const inboxFirstSeq = highestSeq === 0 ? 1 : anewSeq(clock, highestSeq);
    const notes = await untilSetUp(() => ensureStreams(link, names, { replicas, inboxFirstSeq }), {
      timeoutMs,
      onRetry: retrying('The streams of NATS'),
    });
    return {
      link,
      postgres,
      shards,
      inbox: new NatsInbox(link, { names, shards }),
      work: new NatsWorkQueue(link, { names, replicas }),
      leases: new NatsLeaseStore(link, { names, replicas }),
      placements: new NatsPlacementStore(link, { names, replicas }),
      messenger: natsMessenger(link, log),
      warnings: [...link.warnings, ...notes],
      remakeStreams: () =>
        remakeStreams(link, names, { replicas, ingestFirstSeq: anewSeq(clock) }, async () =>
          anewSeq(clock, await postgres.highestCheckpointSeq()),
        ),
      close: async () => {
        await link.close();
        await postgres.close();
      },
    };
  } catch (error) {
    await link.close();
    throw error;
  }
}
