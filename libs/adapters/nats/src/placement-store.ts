import { ok, refused, retry } from '@belfry/ports';
import type { Outcome, Placement, PlacementStore } from '@belfry/ports';

import { readEntry } from './bucket-entry.ts';
import type { Bucket } from './bucket-entry.ts';
import { bucketStream, compareAndSet, keySubject } from './buckets.ts';
import { delay } from './connection.ts';
import type { NatsLink } from './connection.ts';
import { asError, JS } from './errors.ts';
import type { NatsNames } from './names.ts';
import { OrderedReader } from './ordered-reader.ts';
import { AckedPublisher } from './publisher.ts';

const KEY = 'shards';
const ATTEMPTS = 3;
const REOPEN_MS = 1_000;

/**
 * The placement document under one key.
 *
 * D1. It is replaced only by compare-and-set, and only by a later one: higher term, or same term and higher version.
 * D2. A watcher sees placements in growing order; it may skip some, never the last.
 */
export class NatsPlacementStore implements PlacementStore {
  readonly #link: NatsLink;
  readonly #bucket: Bucket;
  readonly #publisher: AckedPublisher;

  constructor(link: NatsLink, options: { readonly names: NatsNames; readonly replicas?: number }) {
    this.#link = link;
    this.#bucket = { name: options.names.buckets.placement, replicas: options.replicas ?? 1 };
    this.#publisher = new AckedPublisher(link);
  }

  async read(): Promise<Placement | undefined> {
    const entry = await readEntry(this.#link, this.#bucket, KEY);
    if (entry.kind === 'unknown') throw entry.error;
    return entry.kind === 'value' ? (JSON.parse(entry.text) as Placement) : undefined;
  }

  async write(placement: Placement): Promise<Outcome<void, 'stale'>> {
    const body = JSON.stringify(placement);
    let error = new Error('the placement changes too fast');
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const entry = await readEntry(this.#link, this.#bucket, KEY);
      if (entry.kind === 'unknown') return retry(entry.error);
      if (entry.kind === 'value') {
        if (entry.text === body) return ok(undefined); // the attempt before has won, and its answer was lost
        if (!isLater(placement, JSON.parse(entry.text) as Placement)) return refused('stale'); // D1
      }
      const headers = compareAndSet(entry.seq);
      const ack = await this.#publisher.publish({ subject: keySubject(this.#bucket.name, KEY), headers, body });
      if (ack.kind === 'stored') return ok(undefined);
      if (ack.kind === 'absent') return retry(new Error('no bucket of placements'));
      error = ack.error;
      const changed = ack.kind === 'unknown' ? ack.sent : ack.error.errCode === JS.wrongLastSequence;
      if (!changed) break;
    }
    return retry(error);
  }

  /** Tells the present one first. A bucket that was lost is watched again when it is there again. */
  watch(onPlacement: (placement: Placement) => void): Promise<{ stop(): Promise<void> }> {
    const stopping = new AbortController();
    let latest: Placement | undefined;
    let reader: OrderedReader | undefined;
    const tell = (data: Uint8Array): void => {
      if (data.length === 0) return; // a deletion marker
      const placement = JSON.parse(Buffer.from(data).toString('utf8')) as Placement;
      if (latest !== undefined && !isLater(placement, latest)) return; // D2
      latest = placement;
      onPlacement(placement);
    };
    const follow = async (): Promise<void> => {
      while (!stopping.signal.aborted && !this.#link.nc.isClosed()) {
        reader = new OrderedReader(this.#link, {
          stream: bucketStream(this.#bucket.name),
          filterSubjects: [keySubject(this.#bucket.name, KEY)],
          start: 'last',
          onMessage: ({ data }) => tell(data),
        });
        await reader.done.catch((error: unknown) => asError(error));
        await delay(REOPEN_MS, stopping.signal);
      }
    };
    void follow();
    const stop = async (): Promise<void> => {
      stopping.abort();
      await reader?.stop();
    };
    return Promise.resolve({ stop });
  }

  close(): void {
    this.#publisher.close();
  }
}

function isLater(a: Placement, b: Placement): boolean {
  return a.term > b.term || (a.term === b.term && a.version > b.version);
}
