import type { Lease, LeaseStore, Placement, PlacementStore } from './lease-store.ts';
import { ok, refused } from './outcome.ts';
import type { Outcome } from './outcome.ts';

interface HeldLease extends Lease {
  readonly expiresMs: number;
}

/** Leases in memory. A term and a revision are numbers of one growing counter. */
export class MemoryLeaseStore implements LeaseStore {
  readonly #now: () => number;
  readonly #ttlMs: number;
  readonly #leases = new Map<string, HeldLease>();
  #revision = 0;

  constructor(options: { readonly now: () => number; readonly ttlMs: number }) {
    this.#now = options.now;
    this.#ttlMs = options.ttlMs;
  }

  acquire(name: string, holder: string, silentTerm?: number): Promise<Outcome<Lease, 'held'>> {
    const held = this.#held(name);
    if (held !== undefined && held.holder !== holder && held.term !== silentTerm)
      return Promise.resolve(refused('held'));
    const revision = ++this.#revision;
    return Promise.resolve(ok(this.#grant(name, { term: revision, holder, revision })));
  }

  read(name: string): Promise<Outcome<Lease | undefined, never>> {
    return Promise.resolve(ok(this.#held(name)));
  }

  renew(name: string, lease: Lease): Promise<Outcome<Lease, 'lost'>> {
    if (this.#held(name)?.term !== lease.term) return Promise.resolve(refused('lost'));
    return Promise.resolve(ok(this.#grant(name, { ...lease, revision: ++this.#revision })));
  }

  release(name: string, lease: Lease): Promise<void> {
    if (this.#held(name)?.term === lease.term) this.#leases.delete(name);
    return Promise.resolve();
  }

  #grant(name: string, lease: Lease): Lease {
    this.#leases.set(name, { ...lease, expiresMs: this.#now() + this.#ttlMs });
    return lease;
  }

  #held(name: string): HeldLease | undefined {
    const held = this.#leases.get(name);
    return held !== undefined && held.expiresMs > this.#now() ? held : undefined;
  }
}

/** The placement document in memory. */
export class MemoryPlacementStore implements PlacementStore {
  #placement: Placement | undefined;
  readonly #watchers = new Set<(placement: Placement) => void>();

  read(): Promise<Placement | undefined> {
    return Promise.resolve(this.#placement);
  }

  write(placement: Placement): Promise<Outcome<void, 'stale'>> {
    const { term, version } = this.#placement ?? { term: -1, version: -1 };
    if (placement.term < term || (placement.term === term && placement.version <= version)) {
      return Promise.resolve(refused('stale'));
    }
    this.#placement = placement;
    for (const watcher of [...this.#watchers]) queueMicrotask(() => this.#watchers.has(watcher) && watcher(placement));
    return Promise.resolve(ok(undefined));
  }

  watch(onPlacement: (placement: Placement) => void): Promise<{ stop(): Promise<void> }> {
    const watcher = (placement: Placement): void => onPlacement(placement);
    this.#watchers.add(watcher);
    const present = this.#placement;
    if (present !== undefined) queueMicrotask(() => this.#watchers.has(watcher) && watcher(present));
    const stop = (): Promise<void> => Promise.resolve(void this.#watchers.delete(watcher));
    return Promise.resolve({ stop });
  }
}
