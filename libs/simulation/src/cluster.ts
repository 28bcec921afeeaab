import { explain } from '@belfry/gateway';
import { LIMITS, shardOf, subjects, type WorkerHeartbeat } from '@belfry/protocol';
import { Client, NAMESPACE } from './client.ts';
import { Doors } from './doors.ts';
import { GatewayHost } from './gateway-host.ts';
import { Model } from './model.ts';
import { CALM, Network } from './network.ts';
import { NodeHost } from './node-host.ts';
import { isFault, type Plan, type PlanStep } from './plan.ts';
import { Process, T0 } from './process.ts';
import { Random } from './random.ts';
import { Services } from './services.ts';
import { textOf } from './sim-messages.ts';
import { SupervisorHost } from './supervisor-host.ts';
import { VirtualTime } from './virtual-time.ts';
import { WorkerHost } from './worker-host.ts';

/** How soon the broker notices that a process is gone. */
const NOTICED_MS = 50;

/** A whole cluster, to which the steps of a plan happen. */
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
  #names = 0;
  #isCalm = false;

  constructor(plan: Plan, trace: (line: string) => void) {
    this.#plan = plan;
    this.#random = new Random(plan.seed ^ 0x5eed);
    this.network = new Network(this.time, this.#random);
    this.model = new Model(this.time, trace);
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
      const span = { fromMs: 0, toMs: nowMs };
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

  #startNode(at: number, name: string): void {
    const process = new Process(name, this.time);
    const node = new NodeHost(process, this.#services, this.#plan.tickMs);
    this.#nodes[at] = node;
    this.model.schedulerStarted(process);
    this.#services.messages.of(process).listen(subjects.workers('*', 'heartbeat'), (body) => {
      this.model.reported((JSON.parse(textOf(body)) as WorkerHeartbeat).running, process);
    });
    this.#go(node.start());
  }

  #startWorker(at: number): void {
    const process = new Process(`w${at}-${this.#names++}`, this.time);
    const queues = Array.from({ length: this.#plan.queues }, (_, queue) => `q${queue}`);
    const isOlder = this.#plan.mixed && this.#random.chance(0.5);
    const options = { namespace: NAMESPACE, queues, capacity: this.#plan.capacity, isOlder };
    const worker = new WorkerHost(process, this.#services, this.network, this.#doors, this.model, options);
    this.#workers[at] = worker;
    this.#go(worker.start());
  }

  #startGateway(at: number): void {
    const gateway = new GatewayHost(new Process(`g${at}-${this.#names++}`, this.time), this.#services);
    this.#gateways[at] = gateway;
    this.#doors.open(gateway);
  }

  #startSupervisor(at: number): void {
    this.#supervisors[at] = new SupervisorHost(new Process(`s${at}-${this.#names++}`, this.time), this.#services);
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

  #pause(process: Process, forMs: number): void {
    process.pause();
    this.time.after(forMs, () => process.resume());
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
        return this.#pause((this.#nodes[step.node] as NodeHost).process, step.forMs);
      case 'cut node':
        return this.#cut((this.#nodes[step.node] as NodeHost).process, step);
      case 'step clock': {
        const { process } = this.#nodes[step.node] as NodeHost;
        process.stepClock(step.byMs);
        this.time.after(step.forMs, () => !this.#isCalm && process.stepClock(-step.byMs));
        return;
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
        return this.#pause((this.#workers[step.worker] as WorkerHost).process, step.forMs);
      case 'cut worker':
        return this.#cut((this.#workers[step.worker] as WorkerHost).process, step);
      case 'crash gateway': {
        const gateway = this.#gateways[step.gateway] as GatewayHost;
        if (!gateway.process.isAlive) return;
        this.time.after(NOTICED_MS, () => this.#doors.close(gateway));
        return this.#kill(gateway.process, () => this.#startGateway(step.gateway), step.downMs);
      }
      case 'pause gateway':
        return this.#pause((this.#gateways[step.gateway] as GatewayHost).process, step.forMs);
      case 'crash supervisor': {
        const { process } = this.#supervisors[step.supervisor] as SupervisorHost;
        if (process.isAlive) this.#kill(process, () => this.#startSupervisor(step.supervisor), step.downMs);
        return;
      }
      case 'pause supervisor':
        return this.#pause((this.#supervisors[step.supervisor] as SupervisorHost).process, step.forMs);
      case 'slow store':
        this.network.storeSlownessMs = step.byMs;
        return void this.time.after(step.forMs, () => (this.network.storeSlownessMs = 0));
      case 'failing store':
        this.network.storeFailures = step.share;
        return void this.time.after(step.forMs, () => (this.network.storeFailures = 0));
      case 'lose work stream':
        return this.#services.work.lose();
      case 'restart broker': {
        const lost = this.#services.crashBroker();
        if (lost > 0)
          this.network.happened.set('unsynced lost', (this.network.happened.get('unsynced lost') ?? 0) + lost);
        this.network.isBrokerDown = true;
        return void this.time.after(step.downMs, () => (this.network.isBrokerDown = false));
      }
      case 'bad weather':
        this.network.weather = step;
        return void this.time.after(step.forMs, () => (this.network.weather = CALM));
      default:
        return step satisfies never;
    }
  }

  #cut(process: Process, { services, direction, forMs }: Extract<PlanStep, { kind: 'cut node' | 'cut worker' }>): void {
    process.cut(services, direction);
    this.time.after(forMs, () => process.heal());
  }

  /** From here on nothing goes wrong any more. */
  #calmDown(): void {
    this.#isCalm = true;
    this.network.weather = CALM;
    this.network.storeSlownessMs = 0;
    this.network.storeFailures = 0;
    this.network.isBrokerDown = false;
    for (const { process } of [...this.#nodes, ...this.#workers, ...this.#gateways, ...this.#supervisors]) {
      process.heal();
      process.stepClock(-process.offsetMs);
      process.resume();
    }
  }
}
