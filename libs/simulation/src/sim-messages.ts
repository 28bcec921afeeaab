import type { Messenger } from '@belfry/actor-runtime';
import type { Network } from './network.ts';
import type { Process } from './process.ts';

type Handler = (body: Uint8Array, subject: string) => unknown;

interface Ear {
  readonly process: Process;
  readonly pattern: readonly string[];
  readonly isServing: boolean;
  readonly handler: Handler;
}

const NOBODY: ReadonlyMap<Process, readonly Ear[]> = new Map();
const DECODER = new TextDecoder();

/** Plain messages between processes: they may get lost, come twice, and overtake one another. */
export class SimMessages {
  readonly #network: Network;
  readonly #ears = new Set<Ear>();
  #bySubject = new Map<string, readonly Ear[]>();
  /** One connection a process: what arrives there is for all of its listeners. */
  #listeners = new Map<string, ReadonlyMap<Process, readonly Ear[]>>();

  constructor(network: Network) {
    this.#network = network;
  }

  /** Messages as a process sends and gets them. */
  of(process: Process): Messenger {
    return {
      tell: (subject, body) => {
        const bytes = typeof body === 'string' ? Buffer.from(body) : body;
        for (const [to, ears] of this.#listenersOf(subject))
          this.#network.send(process, to, () => {
            for (const ear of ears) if (this.#has(ear)) ear.handler(bytes, subject);
          });
      },
      ask: (subject, body, timeoutMs) => this.#ask(process, subject, Buffer.from(body), timeoutMs),
      serve: (pattern, handler) => this.#add({ process, pattern: pattern.split('.'), isServing: true, handler }),
      listen: (pattern, handler) => this.#add({ process, pattern: pattern.split('.'), isServing: false, handler }),
    };
  }

  /** The broker has noticed that a process is gone. */
  leave(process: Process): void {
    for (const ear of [...this.#ears]) if (ear.process === process) this.#ears.delete(ear);
    this.#forgetSubjects();
  }

  #ask(from: Process, subject: string, body: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      let isOver = false;
      /** Its time runs out after every answer, too. */
      const fail = (code: string): void => {
        if (!isOver) reject(Object.assign(new Error(`${subject}: ${code}`), { code }));
      };
      from.after(timeoutMs, () => fail('timeout'));
      const servers = this.#earsOf(subject).filter(({ isServing }) => isServing);
      if (servers.length === 0) return this.#network.send(from, from, () => fail('no_owner'));
      for (const ear of servers) {
        this.#network.send(from, ear.process, () => {
          if (!this.#has(ear)) return;
          void Promise.resolve(ear.handler(body, subject)).then((reply) =>
            this.#network.send(ear.process, from, () => {
              isOver = true;
              resolve(Buffer.from(reply as string));
            }),
          );
        });
      }
    });
  }

  #add(ear: Ear): () => void {
    this.#ears.add(ear);
    this.#forgetSubjects();
    return () => {
      this.#ears.delete(ear);
      this.#forgetSubjects();
    };
  }

  #has(ear: Ear): boolean {
    return this.#ears.has(ear);
  }

  #forgetSubjects(): void {
    this.#bySubject.clear();
    this.#listeners.clear();
  }

  #listenersOf(subject: string): ReadonlyMap<Process, readonly Ear[]> {
    if (isOnce(subject)) return NOBODY;
    const known = this.#listeners.get(subject);
    if (known !== undefined) return known;
    const listeners = Map.groupBy(
      this.#earsOf(subject).filter(({ isServing }) => !isServing),
      ({ process }) => process,
    );
    this.#listeners.set(subject, listeners);
    return listeners;
  }

  #earsOf(subject: string): readonly Ear[] {
    const known = this.#bySubject.get(subject);
    if (known !== undefined) return known;
    const tokens = subject.split('.');
    const ears = [...this.#ears].filter(
      ({ pattern }) =>
        pattern.length === tokens.length && pattern.every((token, at) => token === '*' || token === tokens[at]),
    );
    if (!isOnce(subject)) this.#bySubject.set(subject, ears);
    return ears;
  }
}

/** Events name their tasks: such a subject does not come again, and no process of the simulated cluster listens to events. */
function isOnce(subject: string): boolean {
  return subject.includes('.events.');
}

export function textOf(body: Uint8Array): string {
  return DECODER.decode(body);
}
