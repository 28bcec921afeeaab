import { explain } from '@belfry/gateway';
import { LIMITS, shardOf, subjects, type WorkerHeartbeat } from '@belfry/protocol';
import { Client, NAMESPACE } from './client.ts';
import { Doors } from './doors.ts';
import { GatewayHost } from './gateway-host.ts';
import { Machine } from './machine.ts';
import { Model } from './model.ts';
import { Network } from './network.ts';
import { NodeHost } from './node-host.ts';
import { isFault, type Plan, type PlanStep } from './plan.ts';
import { Process, T0 } from './process.ts';
import { Random } from './random.ts';
import { Services } from './services.ts';
import { textOf } from './sim-messages.ts';
import { SupervisorHost } from './supervisor-host.ts';
import { VirtualTime } from './virtual-time.ts';
import { WorkerHost } from './worker-host.ts';

/** What is due so shortly before the end may be under way, where nobody waits for it. */
const UNWAITED_MS = 60_000;

/** How soon the broker notices that a process is gone. */
const NOTICED_MS = 50;

type Kind = 'node' | 'worker' | 'gateway' | 'supervisor';

/**
 * A whole cluster, to which the steps of a plan happen.
 *
 * F1. Faults overlap, and each ends only itself; all that go on end when it gets calm.
 */
export class Cluster {
  readonly time = new VirtualTime();
  readonly network: Network;
  readonly model: Model;
  /** Faults that happened, by kind. */
  readonly faults = new Map<string, number>();
  failure: unknown;
  readonly #plan: Plan;
  readonly #random: Random;
  readonly #services: Services;
  readonly #doors: Doors;
  readonly #client: Client;
  readonly #nodes: NodeHost[] = [];
  readonly #workers: WorkerHost[] = [];
  readonly #gateways: GatewayHost[] = [];
  readonly #supervisors: SupervisorHost[] = [];
  readonly #machines = new Map<string, Machine>();
  /** Ends of the faults that go on at the moment. */
  readonly #endings = new Set<() => void>();
  #names = 0;

  constructor(plan: Plan, trace: (line: string) => void) {
    this.#plan = plan;
    this.#random = new Random(plan.seed ^ 0x5eed);
    this.network = new Network(this.time, this.#random);
    this.model = new Model(this.time, trace, plan.shards);
    this.#services = new Services(plan.shards, this.time, this.network, this.#random, this.model, trace);
    this.#doors = new Doors(this.network, this.#random);
    this.#client = new Client(new Process('client', this.time), this.#doors, this.model);
    for (let at = 0; at < plan.supervisors; at++) this.#startSupervisor(at);
    for (let at = 0; at < plan.gateways; at++) this.#startGateway(at);
    for (let at = 0; at < plan.nodes; at++) this.#startNode(at, `n${at}`);
    for (let at = 0; at < plan.workers; at++) this.#startWorker(at);
    for (const step of plan.steps) this.time.at(step.atMs, () => this.#happen(step, trace));
    this.time.at(plan.calmAtMs, () => this.#calmDown());
  }

  /** Everything that was asked for has come to its end. */
  get isOver(): boolean {
    return this.#client.open === 0 && this.model.isOver;
  }

  /** Fires that are not over in bounded time after they were due, and commands without an answer: up to `limit`, ms. */
  overdue(boundMs: number, limit: number): string[] {
    const found = this.model.overdue(this.#plan.calmAtMs, boundMs, limit);
    if (this.#client.open > 0 && this.time.nowMs > this.#plan.calmAtMs + boundMs)
      found.push(`${this.#client.open} commands without an answer`);
    return found;
  }

  /** Fires of which nothing that is stored tells what became of them, up to `limit`: by the explanation that a user gets. */
  unexplained(limit: number): string[] {
    const { store, shards } = this.#services;
    const nowMs = T0 + this.time.nowMs;
    const missed: string[] = [];
    for (const id of this.model.ids()) {
      const shard = shardOf(id, shards);
      const facts = store.stored.facts(shard, NAMESPACE, id);
      // Where a cancel came before its task, this fires on, and nobody waits for the latest of it.
      const span = { fromMs: 0, toMs: this.model.isCancelOpen(id) ? nowMs - UNWAITED_MS : nowMs };
      // Everything is over, and stored.
      const input = { id, namespace: NAMESPACE, shard, facts: { ...facts, asOf: Infinity }, ...span, nowMs };
      const { fires } = explain({ ...input, live: undefined, calendars: [], limit: LIMITS.explainLooks });
      for (const { scheduledAt, verdict } of fires) {
        if (verdict === 'missed' && missed.length < limit) missed.push(`${id} of ${Date.parse(scheduledAt) - T0}`);
      }
    }
    return missed;
  }

  // — Processes

  #machineOf(kind: Kind, at: number): Machine {
    const name = `${kind} ${at}`;
    const machine = this.#machines.get(name) ?? new Machine();
    this.#machines.set(name, machine);
    return machine;
  }

  /** A process with a name of its own. */
  #processOn(kind: Exclude<Kind, 'node'>, at: number): Process {
    return new Process(`${kind[0]}${at}-${this.#names++}`, this.time, this.#machineOf(kind, at));
  }

  #startNode(at: number, name: string): void {
    const process = new Process(name, this.time, this.#machineOf('node', at));
    const node = new NodeHost(process, this.#services, this.#plan.tickMs);
    this.#nodes[at] = node;
    this.model.schedulerStarted(process);
    this.#services.messages.of(process).listen(subjects.workers('*', 'heartbeat'), (body) => {
      this.model.reported((JSON.parse(textOf(body)) as WorkerHeartbeat).running, process);
    });
    this.#go(node.start());
  }

  #startWorker(at: number): void {
    const process = this.#processOn('worker', at);
    const queues = Array.from({ length: this.#plan.queues }, (_, queue) => `q${queue}`);
    const isOlder = this.#plan.mixed && this.#random.chance(0.5);
    const options = { namespace: NAMESPACE, queues, capacity: this.#plan.capacity, isOlder };
    const worker = new WorkerHost(process, this.#services, this.network, this.#doors, this.model, options);
    this.#workers[at] = worker;
    this.#go(worker.start());
  }

  #startGateway(at: number): void {
    const gateway = new GatewayHost(this.#processOn('gateway', at), this.#services);
    this.#gateways[at] = gateway;
    this.#doors.open(gateway);
  }

  #startSupervisor(at: number): void {
    this.#supervisors[at] = new SupervisorHost(this.#processOn('supervisor', at), this.#services);
  }

  /** Its memory is gone, with all that it had not yet sent. */
  #kill(process: Process, restart: () => void, downMs: number): void {
    process.kill();
    this.time.after(NOTICED_MS, () => {
      this.#services.messages.leave(process);
      this.#services.work.leave(process);
    });
    this.time.after(Math.max(downMs, NOTICED_MS + 1), restart);
  }

  /** A fault has begun that ends by itself, or with all others (F1). */
  #lasts(forMs: number, end: () => void): void {
    const ends = (): void => {
      if (this.#endings.delete(ends)) end();
    };
    this.#endings.add(ends);
    this.time.after(forMs, ends);
  }

  #go(work: Promise<void>): void {
    work.catch((error: unknown) => (this.failure ??= error));
  }

  // — The plan

  #happen(step: PlanStep, trace: (line: string) => void): void {
    if (isFault(step.kind)) {
      this.faults.set(step.kind, (this.faults.get(step.kind) ?? 0) + 1);
      trace(`fault ${JSON.stringify(step)}`);
    }
    switch (step.kind) {
      case 'create':
        return this.#go(this.#client.create(step));
      case 'cancel':
        return this.#go(this.#client.cancel(step));
      case 'update':
        return this.#go(this.#client.update(step));
      case 'get':
        return this.#go(this.#client.get(step));
      case 'crash node': {
        const { process } = this.#nodes[step.node] as NodeHost;
        const name = step.newName ? `n${step.node}-${this.#names++}` : process.name;
        if (process.isAlive) this.#kill(process, () => this.#startNode(step.node, name), step.downMs);
        return;
      }
      case 'redeploy node': {
        const node = this.#nodes[step.node] as NodeHost;
        if (!node.process.isAlive) return;
        return this.#go(
          node.stop().then(() => {
            if (node.process.isAlive)
              this.#kill(node.process, () => this.#startNode(step.node, node.process.name), step.downMs);
          }),
        );
      }
      case 'pause node':
        return this.#lasts(step.forMs, (this.#nodes[step.node] as NodeHost).process.pause());
      case 'cut node':
        return this.#cut(this.#machineOf('node', step.node), step);
      case 'step clock': {
        const { process } = this.#nodes[step.node] as NodeHost;
        process.stepClock(step.byMs);
        return this.#lasts(step.forMs, () => process.stepClock(-step.byMs));
      }
      case 'crash worker': {
        const { process } = this.#workers[step.worker] as WorkerHost;
        if (process.isAlive) this.#kill(process, () => this.#startWorker(step.worker), step.downMs);
        return;
      }
      case 'stop worker': {
        const worker = this.#workers[step.worker] as WorkerHost;
        if (!worker.process.isAlive) return;
        return this.#go(
          worker.stop().then(() => {
            if (worker.process.isAlive) this.#kill(worker.process, () => this.#startWorker(step.worker), step.downMs);
          }),
        );
      }
      case 'pause worker':
        return this.#lasts(step.forMs, (this.#workers[step.worker] as WorkerHost).process.pause());
      case 'cut worker':
        return this.#cut(this.#machineOf('worker', step.worker), step);
      case 'crash gateway': {
        const gateway = this.#gateways[step.gateway] as GatewayHost;
        if (!gateway.process.isAlive) return;
        this.time.after(NOTICED_MS, () => this.#doors.close(gateway));
        return this.#kill(gateway.process, () => this.#startGateway(step.gateway), step.downMs);
      }
      case 'pause gateway':
        return this.#lasts(step.forMs, (this.#gateways[step.gateway] as GatewayHost).process.pause());
      case 'cut gateway':
        return this.#cut(this.#machineOf('gateway', step.gateway), step);
      case 'crash supervisor': {
        const { process } = this.#supervisors[step.supervisor] as SupervisorHost;
        if (process.isAlive) this.#kill(process, () => this.#startSupervisor(step.supervisor), step.downMs);
        return;
      }
      case 'pause supervisor':
        return this.#lasts(step.forMs, (this.#supervisors[step.supervisor] as SupervisorHost).process.pause());
      case 'cut supervisor':
        return this.#cut(this.#machineOf('supervisor', step.supervisor), step);
      case 'slow store':
        return this.#lasts(step.forMs, this.network.suffer({ storeSlownessMs: step.byMs }));
      case 'failing store':
        return this.#lasts(step.forMs, this.network.suffer({ storeFailures: step.share }));
      case 'lose work stream':
        return this.#services.work.lose();
      case 'restart broker': {
        const lost = this.#services.crashBroker();
        if (lost > 0)
          this.network.happened.set('unsynced lost', (this.network.happened.get('unsynced lost') ?? 0) + lost);
        return this.#lasts(step.downMs, this.network.suffer({ isBrokerDown: true }));
      }
      case 'bad weather':
        return this.#lasts(step.forMs, this.network.suffer(step));
      default:
        return step satisfies never;
    }
  }

  #cut(machine: Machine, { services, direction, forMs }: Extract<PlanStep, { readonly direction: unknown }>): void {
    this.#lasts(forMs, machine.cut(services, direction));
  }

  /** From here on nothing goes wrong any more. */
  #calmDown(): void {
    for (const end of [...this.#endings]) end();
  }
}
