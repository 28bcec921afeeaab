import { envelopeHead, LIMITS, wireError, type WireError } from '@belfry/protocol';
import type { Inbox } from '@belfry/ports';

import type { Clock, GatewayMetrics, Log } from './environment.ts';
import type { Batch } from './pending.ts';

const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 2_000;

/** Records of one shard that become one inbox message. */
interface Envelope {
  readonly shard: number;
  /** The lowest that can say what it holds. */
  version: 1 | 2;
  readonly texts: string[];
  readonly batches: Batch[];
  readonly indexes: number[];
  bytes: number;
  /** When nobody waits for it any more, monotonic ms. */
  deadlineMs: number;
}

export interface GroupCommitOptions {
  readonly gatewayId: string;
  readonly inbox: Pick<Inbox, 'append'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: GatewayMetrics;
  /** Waits before an append is repeated. */
  readonly wait: (ms: number) => Promise<void>;
  /** Runs something at the end of this turn of the event loop. */
  readonly defer: (run: () => void) => void;
}

/**
 * Gathers records for the inbox: while appends are under way, what comes is joined, per shard, into envelopes for the next.
 *
 * C1. At most `LIMITS.groupCommitsInFlight` appends are in flight; one that is to be repeated keeps its place.
 * C2. An append has at most `LIMITS.batchMessages` envelopes, `LIMITS.groupCommitRecords` records and `LIMITS.groupCommitBytes` bytes
 *     (one envelope always fits); an envelope at most `LIMITS.envelopeBytes` bytes.
 * C3. `#open` has, per shard, the last envelope of `#waiting` for it, and only such.
 * C4. `records` and `bytes` are the sums over what waits and what is in flight.
 * C5. A record is appended again only after `retry`, whose first append may have happened: every record can be applied twice.
 */
export class GroupCommit {
  readonly #options: GroupCommitOptions;
  readonly #heads: { readonly [version in 1 | 2]: string };
  readonly #overheadBytes: number;
  readonly #open = new Map<number, Envelope>();
  #waiting: Envelope[] = [];
  #records = 0;
  #bytes = 0;
  #inFlight = 0;
  #scheduled = false;
  #stopped = false;
  #idle: (() => void)[] = [];

  constructor(options: GroupCommitOptions) {
    this.#options = options;
    this.#heads = { 1: envelopeHead(options.gatewayId, 1), 2: envelopeHead(options.gatewayId, 2) };
    this.#overheadBytes = Buffer.byteLength(this.#heads[1]) + 2;
  }

  get records(): number {
    return this.#records;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /**
   * `text` is one encoded record, for item `index` of `batch`; `version` is that of the envelopes that may hold it, and of later ones.
   * Whether there is room is for the caller to ask before.
   */
  add(shard: number, text: string, batch: Batch, index: number, version: 1 | 2 = 1): void {
    const bytes = Buffer.byteLength(text) + 1;
    let envelope = this.#open.get(shard);
    if (envelope === undefined || envelope.bytes + bytes > LIMITS.envelopeBytes) {
      envelope = { shard, version, texts: [], batches: [], indexes: [], bytes: this.#overheadBytes, deadlineMs: 0 };
      this.#open.set(shard, envelope); // C3
      this.#waiting.push(envelope);
    }
    if (version > envelope.version) envelope.version = version;
    envelope.texts.push(text);
    envelope.batches.push(batch);
    envelope.indexes.push(index);
    envelope.bytes += bytes;
    envelope.deadlineMs = Math.max(envelope.deadlineMs, batch.deadlineMs);
    this.#records++;
    this.#bytes += bytes;
    this.#schedule();
  }

  /** Resolves when nothing waits and nothing is in flight. */
  idle(): Promise<void> {
    if (this.#records === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** No append begins from now on. */
  stop(): void {
    this.#stopped = true;
    for (const envelope of this.#takeWaiting(Infinity)) this.#refuse(envelope, stopping());
  }

  #schedule(): void {
    if (this.#scheduled || this.#inFlight >= LIMITS.groupCommitsInFlight) return;
    this.#scheduled = true;
    this.#options.defer(() => {
      this.#scheduled = false;
      this.#begin();
    });
  }

  #begin(): void {
    while (this.#waiting.length > 0 && this.#inFlight < LIMITS.groupCommitsInFlight && !this.#stopped) {
      this.#inFlight++; // C1
      void this.#commit(this.#takeWaiting(LIMITS.batchMessages)).finally(() => {
        this.#inFlight--;
        this.#schedule();
      });
    }
    if (this.#stopped) for (const envelope of this.#takeWaiting(Infinity)) this.#refuse(envelope, stopping());
  }

  /** From the front, within C2. */
  #takeWaiting(limit: number): Envelope[] {
    let [taken, records, bytes] = [0, 0, 0];
    for (const envelope of this.#waiting) {
      records += envelope.texts.length;
      bytes += envelope.bytes;
      const full = records > LIMITS.groupCommitRecords || bytes > LIMITS.groupCommitBytes;
      if (taken >= limit || (taken > 0 && full && limit !== Infinity)) break;
      taken++;
      if (this.#open.get(envelope.shard) === envelope) this.#open.delete(envelope.shard); // C3
    }
    if (taken === this.#waiting.length) {
      const all = this.#waiting;
      this.#waiting = [];
      return all;
    }
    return this.#waiting.splice(0, taken);
  }

  /** Appends until it is done, refused, or nobody waits for it any more. Never rejects. */
  async #commit(envelopes: Envelope[]): Promise<void> {
    const { clock, inbox, log, metrics, wait } = this.#options;
    let left = envelopes;
    for (let attempt = 1; ; attempt++) {
      const startedMs = clock.monotonic();
      const messages = left.map(({ shard, texts, version }) => ({
        shard,
        body: `${this.#heads[version]}${texts.join(',')}]}`,
      }));
      const count = (outcome: Parameters<GatewayMetrics['commit']>[0]): void => {
        const records = left.reduce((sum, { texts }) => sum + texts.length, 0);
        metrics.commit(outcome, records, left.length, clock.monotonic() - startedMs);
      };
      try {
        const outcome = await inbox.append(messages);
        if (outcome.kind === 'ok') {
          count('ok');
          for (const envelope of left) this.#stored(envelope);
          return;
        }
        if (outcome.kind === 'refused') {
          count('full');
          for (const envelope of left)
            this.#refuse(envelope, wireError('overloaded', 'the inbox is full; try again later'));
          return;
        }
        count('retry');
        if (attempt % 5 === 1)
          log.warn('an append to the inbox is repeated', { attempt, error: outcome.error.message });
      } catch (error) {
        count('fault');
        log.error('an append to the inbox failed', { error: String(error) });
        for (const envelope of left) this.#refuse(envelope, wireError('internal', 'a fault; the log has the details'));
        return;
      }
      await wait(Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (attempt - 1)));
      left = this.#stillWanted(left);
      if (left.length === 0) return;
    }
  }

  /** Leaves out envelopes that nobody waits for: their answers have come, which proves them stored, or their time is over. */
  #stillWanted(envelopes: readonly Envelope[]): Envelope[] {
    const nowMs = this.#options.clock.monotonic();
    const wanted: Envelope[] = [];
    for (const envelope of envelopes) {
      const open = envelope.batches.some((batch, at) => batch.isOpen(envelope.indexes[at] as number));
      if (open && nowMs < envelope.deadlineMs && !this.#stopped) wanted.push(envelope);
      else this.#refuse(envelope, this.#stopped ? stopping() : unreachable());
    }
    return wanted;
  }

  #stored({ texts, batches, indexes, bytes }: Envelope): void {
    batches.forEach((batch, at) => batch.stored(indexes[at] as number));
    this.#forget(texts.length, bytes);
  }

  #refuse({ texts, batches, indexes, bytes }: Envelope, error: WireError): void {
    batches.forEach((batch, at) => batch.refuse(indexes[at] as number, error));
    this.#forget(texts.length, bytes);
  }

  #forget(records: number, bytes: number): void {
    this.#records -= records; // C4
    this.#bytes -= bytes - this.#overheadBytes;
    if (this.#records === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }
}

function unreachable(): WireError {
  const message = 'the inbox cannot be reached. It may have been accepted: try again with the same commandId';
  return wireError('unavailable', message);
}

function stopping(): WireError {
  return wireError('unavailable', 'this gateway is stopping; try again with the same commandId');
}
