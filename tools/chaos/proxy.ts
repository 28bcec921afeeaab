import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

import { Frames, type Frame } from './frames.ts';

/**
 * What a proxy does with what passes: `pass`; `refuse` breaks what is there and refuses what comes; `hole` takes everything and passes
 * nothing on, as a cable that was cut; `deaf` passes only what the client says, `mute` only what the server says. `delayMs` is added
 * to each direction.
 */
export type Fault = 'pass' | 'refuse' | 'hole' | 'deaf' | 'mute';

/** What a proxy has done since its fault was set: bytes that each side said and the other never heard, bytes that came later, connections. */
export interface Effect {
  fromClient: number;
  fromServer: number;
  delayed: number;
  broken: number;
}

/** What a fault did not do that it should have; undefined when it took effect. */
export function lackOf(fault: Fault, delayMs: number, effects: readonly Effect[]): string | undefined {
  const some = (what: keyof Effect): boolean => effects.some((effect) => effect[what] > 0);
  if (fault === 'hole' && !some('fromClient') && !some('fromServer')) return 'nothing was held back';
  if (fault === 'mute' && !some('fromClient')) return 'nothing that it said was held back';
  if (fault === 'deaf' && !some('fromServer')) return 'nothing that it was told was held back';
  if (fault === 'refuse' && !some('broken')) return 'no connection was broken or refused';
  if (delayMs > 0 && !some('delayed')) return 'nothing came later';
  return undefined;
}

/** The same fault, and its effect, where who is cut off is the server of the connections. */
export const OF_SERVER = {
  fault: (fault: Fault): Fault => (fault === 'deaf' ? 'mute' : fault === 'mute' ? 'deaf' : fault),
  effect: ({ fromClient, fromServer, ...rest }: Effect): Effect => ({
    ...rest,
    fromClient: fromServer,
    fromServer: fromClient,
  }),
} as const;

/** What happens to messages on their way from a NATS server to its client: shares from 0 to 1. */
export interface Weather {
  /** Come later, by up to `delayMs`: those behind them overtake them. */
  readonly delayed: number;
  readonly delayMs: number;
  /**
   * Come twice, the second up to `delayMs` later: requests and answers, which a client may send again. A stream's deliveries do not: when
   * its server repeats one it says so in it.
   */
  readonly doubled: number;
  readonly random: () => number;
}

/**
 * A TCP proxy on loopback between one program and one server.
 *
 * P1. Order is kept: a chunk is written after those before it, whatever the delay was when they came.
 * P2. What a hole swallowed is gone for good, so its connection is broken when the hole ends: both sides would wait for ever, or see a
 *     stream with a piece missing.
 * P3. Weather is only among whole messages of the protocol. It takes connections from their beginning: those before it are broken.
 */
export class Proxy {
  readonly port: number;
  readonly #server: Server;
  readonly #target: number;
  readonly #pairs = new Set<Pair>();
  #fault: Fault = 'pass';
  #delayMs = 0;
  #weather: Weather | undefined;
  #effect: Effect = noEffect();

  private constructor(server: Server, target: number) {
    this.#server = server;
    this.#target = target;
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', (client) => this.#open(client));
  }

  static async start(target: number): Promise<Proxy> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Proxy(server, target);
  }

  /** Connections that a hole has swallowed something of. */
  get losses(): number {
    return [...this.#pairs].filter(({ hasLost }) => hasLost).length;
  }

  /** Connections that pass through it now. */
  get connections(): number {
    return this.#pairs.size;
  }

  /** Of the present fault. */
  get effect(): Readonly<Effect> {
    return this.#effect;
  }

  set(fault: Fault, delayMs = 0): void {
    const healed = fault === 'pass' || fault === 'refuse';
    this.#fault = fault;
    this.#delayMs = delayMs;
    this.#effect = noEffect();
    for (const pair of this.#pairs) if (fault === 'refuse' || (healed && pair.hasLost)) this.#break(pair); // P2
  }

  /** Until it is set to undefined; the connections that have it then are calm from then on. */
  setWeather(weather: Weather | undefined): void {
    this.#weather = weather;
    if (weather !== undefined) this.#effect = noEffect();
    if (weather !== undefined) for (const pair of this.#pairs) pair.break(); // P3
  }

  async close(): Promise<void> {
    this.#server.close();
    for (const pair of this.#pairs) pair.break();
    await once(this.#server, 'close');
  }

  #open(client: Socket): void {
    client.on('error', () => undefined);
    if (this.#fault === 'refuse') {
      this.#effect.broken++;
      return void client.resetAndDestroy();
    }
    const pair = new Pair(client, connect(this.#target, '127.0.0.1'), {
      passes: (from) => passes(this.#fault, from),
      delayMs: () => this.#delayMs,
      onHeld: (from, bytes) => void (this.#effect[from === 'client' ? 'fromClient' : 'fromServer'] += bytes),
      onDelayed: (bytes) => void (this.#effect.delayed += bytes),
      ...(this.#weather !== undefined && { weather: () => this.#weather }),
      onEnd: () => this.#pairs.delete(pair),
    });
    this.#pairs.add(pair);
  }

  #break(pair: Pair): void {
    this.#effect.broken++;
    pair.break();
  }
}

function noEffect(): Effect {
  return { fromClient: 0, fromServer: 0, delayed: 0, broken: 0 };
}

type Side = 'client' | 'server';

function passes(fault: Fault, from: Side): boolean {
  if (fault === 'pass') return true;
  return (fault === 'deaf' && from === 'client') || (fault === 'mute' && from === 'server');
}

interface Rules {
  passes(from: Side): boolean;
  delayMs(): number;
  onHeld(from: Side, bytes: number): void;
  onDelayed(bytes: number): void;
  /** Absent: bytes pass as they come. */
  weather?(): Weather | undefined;
  onEnd(): void;
}

class Pair {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #rules: Rules;
  hasLost = false;

  constructor(client: Socket, server: Socket, rules: Rules) {
    this.#client = client;
    this.#server = server;
    this.#rules = rules;
    this.#pump('client', client, server);
    this.#pump('server', server, client);
  }

  break(): void {
    if (!this.#client.destroyed) this.#client.resetAndDestroy();
    if (!this.#server.destroyed) this.#server.resetAndDestroy();
    this.#rules.onEnd();
  }

  #pump(from: Side, source: Socket, sink: Socket): void {
    source.setNoDelay(true);
    let last = Promise.resolve();
    let waiting = 0;
    const then = (act: () => void): void => {
      const delayMs = this.#rules.delayMs();
      const wait = delayMs === 0 ? undefined : new Promise<void>((resolve) => setTimeout(resolve, delayMs));
      waiting++;
      last = Promise.all([last, wait]).then(() => {
        waiting--;
        act(); // P1
      });
    };
    const frames = from === 'server' && this.#rules.weather !== undefined ? new Frames() : undefined;
    source.on('data', (chunk: Buffer) => {
      if (frames !== undefined) return this.#weathered(frames.add(chunk), sink);
      if (!this.#rules.passes(from)) {
        this.hasLost = true;
        return this.#rules.onHeld(from, chunk.length);
      }
      if (this.#rules.delayMs() === 0 && waiting === 0) {
        if (!sink.write(chunk)) {
          source.pause();
          sink.once('drain', () => source.resume());
        }
        return;
      }
      this.#rules.onDelayed(chunk.length);
      then(() => {
        if (!sink.destroyed) sink.write(chunk);
      });
    });
    source.on('end', () => {
      if (this.#rules.passes(from)) then(() => void sink.end());
    });
    source.on('error', () => this.#rules.passes(from) && this.break());
    source.on('close', () => {
      if (!this.#rules.passes(from)) return; // nobody learns of it through a hole
      if (sink.destroyed) this.#rules.onEnd();
    });
  }

  #weathered(frames: readonly Frame[], sink: Socket): void {
    const weather = this.#rules.weather?.();
    for (const { bytes, isMessage, isDelivery } of frames) {
      const send = (): unknown => !sink.destroyed && sink.write(bytes);
      if (weather === undefined || !isMessage) {
        send();
        continue;
      }
      const { random, delayed, doubled, delayMs } = weather;
      const later = (): void => {
        this.#rules.onDelayed(bytes.length);
        setTimeout(send, random() * delayMs);
      };
      if (random() < delayed) later();
      else send();
      if (!isDelivery && random() < doubled) later();
    }
  }
}
