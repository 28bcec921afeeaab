import { isName, LIMITS } from '@belfry/protocol';
import { ok, refused, retry } from '@belfry/ports';
import type { Lease, LeaseStore, Outcome } from '@belfry/ports';
import { nuid } from '@nats-io/transport-node';

import { readEntry } from './bucket-entry.ts';
import type { Bucket, Entry } from './bucket-entry.ts';
import { compareAndSet, keySubject } from './buckets.ts';
import type { NatsLink } from './connection.ts';
import { JS } from './errors.ts';
import { HEADERS } from './header-block.ts';
import type { NatsNames } from './names.ts';
import { AckedPublisher } from './publisher.ts';
import type { PubAck } from './publisher.ts';

const ATTEMPTS = 3;

/** What stands under a lease's key. The acquiring write can't know its own sequence, which is the term: renewals repeat it. */
interface LeaseValue {
  readonly holder: string;
  readonly nonce: string;
  readonly term?: number;
}

/**
 * Leases as keys that expire.
 *
 * T1. Every write is a compare-and-set against the revision that was read, and carries the TTL anew: a plain `kv.update` would
 *     make the key permanent.
 * T2. The term is the sequence of the acquiring write. The bucket's sequences grow, and a bucket made anew starts above them
 *     (`bucketDefinition`), so a later holder has a higher term.
 * T3. A write without an answer may have won: the value is read back and known by its nonce. For a renewal that is not enough,
 *     as its TTL runs since an unknown earlier time: it is written once more.
 */
export class NatsLeaseStore implements LeaseStore {
  readonly #link: NatsLink;
  readonly #bucket: Bucket;
  readonly #ttlMs: number;
  readonly #publisher: AckedPublisher;

  /** `ttlMs` is counted in whole seconds by the server; default `LIMITS.leaseTtlMs`. */
  constructor(
    link: NatsLink,
    options: { readonly names: NatsNames; readonly replicas?: number; readonly ttlMs?: number },
  ) {
    this.#link = link;
    this.#bucket = { name: options.names.buckets.leases, replicas: options.replicas ?? 1 };
    this.#ttlMs = options.ttlMs ?? LIMITS.leaseTtlMs;
    this.#publisher = new AckedPublisher(link, { timeoutMs: LIMITS.leaseRenewMs });
  }

  /** A holder that asks for what it holds already gets it with a new term: it has forgotten the old one. */
  async acquire(name: string, holder: string, silentTerm?: number): Promise<Outcome<Lease, 'held'>> {
    const nonce = nuid.next();
    let error = new Error('the lease changes too fast');
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const entry = await this.#read(name);
      if (entry.kind === 'unknown') return retry(entry.error);
      const value = valueOf(entry);
      if (value?.nonce === nonce && entry.kind === 'value') {
        return ok({ term: entry.seq, holder, revision: entry.seq }); // T3: the write before has won
      }
      // Whoever has renewed between the reading and the writing is not silent: only the first attempt takes a lease from somebody.
      const isSilent = attempt === 0 && silentTerm !== undefined && (value?.term ?? entry.seq) === silentTerm;
      if (value !== undefined && value.holder !== holder && !isSilent) return refused('held');
      const ack = await this.#write(name, entry.seq, { holder, nonce });
      if (ack.kind === 'stored') return ok({ term: ack.seq, holder, revision: ack.seq }); // T2
      error = errorOf(ack);
      if (!mayHaveChanged(ack)) break;
    }
    return retry(error);
  }

  async read(name: string): Promise<Outcome<Lease | undefined, never>> {
    const entry = await this.#read(name);
    if (entry.kind === 'unknown') return retry(entry.error);
    const value = valueOf(entry);
    if (value === undefined) return ok(undefined);
    return ok({ term: value.term ?? entry.seq, holder: value.holder, revision: entry.seq });
  }

  async renew(name: string, lease: Lease): Promise<Outcome<Lease, 'lost'>> {
    let revision = lease.revision;
    let error = new Error('the lease changes too fast');
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const value = { holder: lease.holder, nonce: nuid.next(), term: lease.term };
      const ack = await this.#write(name, revision, value);
      if (ack.kind === 'stored') return ok({ ...lease, revision: ack.seq });
      error = errorOf(ack);
      if (!mayHaveChanged(ack)) break;
      const entry = await this.#read(name);
      if (entry.kind === 'unknown') return retry(entry.error);
      const held = valueOf(entry);
      if (held === undefined || (held.term ?? entry.seq) !== lease.term) return refused('lost');
      revision = entry.seq; // T3
    }
    return retry(error);
  }

  /** Frees the lease at once, if it is still ours. */
  async release(name: string, lease: Lease): Promise<void> {
    const entry = await this.#read(name);
    if (entry.kind !== 'value' || (valueOf(entry)?.term ?? entry.seq) !== lease.term) return;
    const headers = compareAndSet(entry.seq, this.#ttlMs).add(HEADERS.kvOperation, 'DEL');
    await this.#publisher.publish({ subject: this.#subject(name), headers, body: '' }); // if it is lost, the TTL does it
  }

  close(): void {
    this.#publisher.close();
  }

  #read(name: string): Promise<Entry> {
    return readEntry(this.#link, this.#bucket, checked(name));
  }

  #write(name: string, expectedSeq: number, value: LeaseValue): Promise<PubAck> {
    const headers = compareAndSet(expectedSeq, this.#ttlMs); // T1
    return this.#publisher.publish({ subject: this.#subject(name), headers, body: JSON.stringify(value) });
  }

  #subject(name: string): string {
    return keySubject(this.#bucket.name, checked(name));
  }
}

function checked(name: string): string {
  if (!isName(name)) throw new RangeError(`not a lease's name: ${name}`);
  return name;
}

function valueOf(entry: Entry): LeaseValue | undefined {
  return entry.kind === 'value' ? (JSON.parse(entry.text) as LeaseValue) : undefined;
}

function mayHaveChanged(ack: PubAck): boolean {
  if (ack.kind === 'absent') return true; // who reads the entry now makes the bucket anew
  if (ack.kind === 'unknown') return ack.sent;
  return (
    ack.kind === 'denied' &&
    (ack.error.errCode === JS.wrongLastSequence || ack.error.errCode === JS.wrongLastSequenceInFlight)
  );
}

function errorOf(ack: PubAck): Error {
  return ack.kind === 'denied' || ack.kind === 'unknown' ? ack.error : new Error('no bucket of leases');
}
