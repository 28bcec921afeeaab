import type { Lease, LeaseStore, Placement, PlacementStore, WorkQueue } from '@belfry/ports';
import { LIMITS, subjects } from '@belfry/protocol';
import { LeaderWatch, LeaseWatch, Supervisor, type NodeHeartbeat } from '@belfry/supervisor';
import type { Process } from './process.ts';
import type { Services } from './services.ts';
import { textOf } from './sim-messages.ts';

const LEASE = 'supervisor';
const TICK_MS = 250;
const STAND_BY_MS = 500;
const LEASES_MS = 5_000;

/** A supervisor's process: the production core and leader's watch, in a shell like the program's. */
export class SupervisorHost {
  readonly process: Process;
  readonly #core: Supervisor;
  readonly #watch = new LeaderWatch();
  readonly #leases: LeaseStore;
  readonly #placements: PlacementStore;
  readonly #work: WorkQueue;
  #lease: Lease | undefined;
  /** While it leads: sees to the leases of the queues. */
  #leaseWatch: LeaseWatch | undefined;
  #looks = false;
  #trustedUntil = -Infinity;
  #renewAt = 0;
  #unwritten: Placement | undefined;
  #busy = false;

  constructor(process: Process, services: Services) {
    this.process = process;
    this.#core = new Supervisor(services.shards);
    this.#leases = services.leases(process);
    this.#placements = services.placements(process);
    this.#work = services.work.of(process);
    const messenger = services.messages.of(process);
    messenger.listen(subjects.nodeHeartbeat, (body) => this.#onHeartbeat(body));
    messenger.listen(subjects.leaderHeartbeat, (body) => {
      const { term } = JSON.parse(textOf(body)) as { term: number };
      this.#watch.leads(term, this.#now);
    });
    messenger.listen(subjects.workers('*', 'heartbeat'), (body, subject) =>
      this.#leaseWatch?.heard(subject.split('.')[2] ?? '', JSON.parse(textOf(body)), this.#now),
    );
    process.every(LEASES_MS, () => void this.#lookAtLeases());
    process.every(TICK_MS, () => void this.#round());
    process.every(LIMITS.nodeHeartbeatMs, () => {
      if (this.#lease === undefined || this.#now >= this.#trustedUntil) return;
      messenger.tell(subjects.leaderHeartbeat, JSON.stringify({ term: this.#lease.term }));
    });
  }

  get #now(): number {
    return this.process.clock.monotonic();
  }

  async #round(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    try {
      await this.#keepLease();
      this.#perform(this.#core.step({ kind: 'tick', nowMs: this.#now }));
      await this.#write();
    } catch {
      // The next round tries again.
    } finally {
      this.#busy = false;
    }
  }

  async #keepLease(): Promise<void> {
    const nowMs = this.#now;
    if (this.#lease !== undefined && nowMs >= this.#trustedUntil) this.#follow();
    if (nowMs >= this.#renewAt)
      await (this.#lease === undefined ? this.#acquire(nowMs) : this.#renew(this.#lease, nowMs));
    if (this.#lease === undefined || this.#core.leads) return;
    const { term } = this.#lease;
    const placement = await this.#placements.read();
    if (this.#lease?.term !== term) return;
    this.#leaseWatch = new LeaseWatch(this.#now);
    this.#perform(this.#core.step({ kind: 'leads', term, placement, nowMs: this.#now, wallMs: this.#now }));
  }

  async #acquire(nowMs: number): Promise<void> {
    this.#renewAt = nowMs + STAND_BY_MS;
    const outcome = await this.#leases.acquire(LEASE, this.process.name, this.#watch.silentTerm(nowMs));
    if (outcome.kind === 'refused') {
      const held = await this.#leases.read(LEASE);
      if (held.kind === 'ok' && held.value !== undefined) this.#watch.holds(held.value.term, this.#now);
    }
    if (outcome.kind !== 'ok') return;
    this.#lease = outcome.value;
    this.#trust(nowMs);
  }

  async #renew(lease: Lease, nowMs: number): Promise<void> {
    this.#renewAt = nowMs + LIMITS.leaseRenewMs;
    const outcome = await this.#leases.renew(LEASE, lease);
    if (this.#lease === undefined) return;
    if (outcome.kind === 'ok') {
      this.#lease = outcome.value;
      this.#trust(nowMs);
    } else if (outcome.kind === 'refused') this.#follow();
    else this.#renewAt = nowMs + STAND_BY_MS;
  }

  #trust(begunMs: number): void {
    this.#trustedUntil = begunMs + LIMITS.leaseTrustMs;
    this.#renewAt = begunMs + LIMITS.leaseRenewMs;
  }

  #follow(): void {
    this.#lease = undefined;
    this.#unwritten = undefined;
    this.#leaseWatch = undefined;
    this.#core.step({ kind: 'follows' });
  }

  /** As the program's keeper of leases does; what cannot be done is done in the next round. */
  async #lookAtLeases(): Promise<void> {
    const watch = this.#leaseWatch;
    if (watch === undefined || this.#looks) return;
    this.#looks = true;
    try {
      for (const change of watch.look(await this.#work.leases(), this.#now)) {
        if (this.#leaseWatch !== watch) return; // another leads
        await this.#work.setLease(change);
      }
    } catch {
      // The next round tries again.
    } finally {
      this.#looks = false;
    }
  }

  #onHeartbeat(body: Uint8Array): void {
    const beat = JSON.parse(textOf(body)) as NodeHeartbeat;
    this.#watch.heard(this.#now);
    this.#perform(this.#core.step({ kind: 'heartbeat', beat, nowMs: this.#now }));
  }

  #perform(effects: ReturnType<Supervisor['step']>): void {
    for (const { placement } of effects) this.#unwritten = placement;
  }

  async #write(): Promise<void> {
    for (let placement = this.#unwritten; placement !== undefined; placement = this.#unwritten) {
      const outcome = await this.#placements.write(placement);
      if (outcome.kind === 'retry') throw outcome.error;
      if (outcome.kind === 'refused' && this.#lease !== undefined) this.#follow();
      if (this.#unwritten === placement) this.#unwritten = undefined;
    }
  }
}
