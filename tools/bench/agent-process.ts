import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import type { AgentCall, AgentCalls, AgentReply, AgentRequest } from './agent-protocol.ts';
import type { DriverConfig } from './driver.ts';

const AGENT = fileURLToPath(new URL('agent.ts', import.meta.url));
/** A worker that closes waits for the answers to its results: longer than a request that a killed server never answers. */
const CLOSE_MS = 30_000;

interface Waiting {
  readonly resolve: (result: never) => void;
  readonly reject: (error: Error) => void;
}

/** The bench's side of an agent: a producer or worker process with one driver. */
export class Agent implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #closed = false;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on('message', (reply: AgentReply) => {
      const waiting = this.#waiting.get(reply.id);
      this.#waiting.delete(reply.id);
      if ('error' in reply) waiting?.reject(new Error(reply.error));
      else waiting?.resolve(reply.result as never);
    });
    child.once('exit', (code, signal) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`an agent has ended: ${signal ?? code}`));
      this.#waiting.clear();
    });
  }

  /** `nodeFlags`: for a profile, say. */
  static async start(config: DriverConfig, nodeFlags: readonly string[] = []): Promise<Agent> {
    const child = spawn(process.execPath, [...nodeFlags, AGENT], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      serialization: 'advanced',
    });
    const agent = new Agent(child);
    try {
      await agent.call('open', config);
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
    return agent;
  }

  call<Call extends AgentCall>(call: Call, args: AgentCalls[Call]['args']): Promise<AgentCalls[Call]['result']> {
    const id = this.#nextId++;
    const request: AgentRequest<Call> = { id, call, args };
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.send(request, (error) => {
        if (error === null) return;
        this.#waiting.delete(id);
        reject(error);
      });
    });
  }

  /** Closes its connections and ends it. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const exited = once(this.#child, 'exit');
    const deadline = setTimeout(() => this.#child.kill('SIGKILL'), CLOSE_MS);
    await this.call('close', undefined).catch(() => undefined); // it ends either way
    if (this.#child.connected) this.#child.disconnect();
    await exited;
    clearTimeout(deadline);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
