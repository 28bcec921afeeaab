import { readFileSync } from 'node:fs';

/** What a Node process uses, after a full garbage collection. */
export interface Memory {
  /** Live objects on the heap, and memory outside it that they hold (buffers, typed arrays). */
  readonly liveBytes: number;
  /** Resident set, as the kernel counts it. */
  readonly residentBytes: number;
}

interface Answer {
  readonly id: number;
  readonly result?: { readonly result?: { readonly value?: unknown } };
  readonly error?: { readonly message: string };
}

/**
 * Memory of a process that runs with `--inspect`: its debugger makes it collect garbage, and tells what remains. `logFile` has
 * the debugger's address.
 */
export async function settledMemory(logFile: string, pid: number): Promise<Memory> {
  const address = /ws:\/\/\S+/.exec(readFileSync(logFile, 'utf8'))?.[0];
  if (address === undefined) throw new Error(`${logFile} names no debugger address`);
  const socket = new WebSocket(address);
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error(`the debugger at ${address} does not answer`));
  });
  try {
    // Twice: what finalizers let go of in the first is collected in the second.
    await ask(socket, 1, 'HeapProfiler.collectGarbage');
    await ask(socket, 2, 'HeapProfiler.collectGarbage');
    const expression = 'JSON.stringify(process.memoryUsage())';
    const answer = await ask(socket, 3, 'Runtime.evaluate', { expression, returnByValue: true });
    const usage = JSON.parse(String(answer.result?.result?.value)) as NodeJS.MemoryUsage;
    // `external` includes `arrayBuffers`.
    return { liveBytes: usage.heapUsed + usage.external, residentBytes: residentBytes(pid) };
  } finally {
    socket.close();
  }
}

function ask(socket: WebSocket, id: number, method: string, params: object = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const listener = (event: MessageEvent): void => {
      const answer = JSON.parse(String(event.data)) as Answer;
      if (answer.id !== id) return;
      socket.removeEventListener('message', listener);
      if (answer.error === undefined) resolve(answer);
      else reject(new Error(`${method}: ${answer.error.message}`));
    };
    socket.addEventListener('message', listener);
    socket.send(JSON.stringify({ id, method, params }));
  });
}

function residentBytes(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kilobytes) * 1_024;
}
