/** How a process waits: by the system's timers, or by those of a simulated process, which stops with it. */
export interface Timers {
  /** Runs something in `ms`, unless the returned function is called before. */
  after(ms: number, run: () => void): () => void;
  /** Runs something every `ms` until the returned function is called. */
  every(ms: number, run: () => void): () => void;
  /** Runs something at the end of this turn of the event loop. */
  soon(run: () => void): void;
}

export const SYSTEM_TIMERS: Timers = {
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
  every(ms, run) {
    const timer = setInterval(run, ms);
    return () => clearInterval(timer);
  },
  soon(run) {
    setImmediate(run);
  },
};
