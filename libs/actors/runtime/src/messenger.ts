/**
 * Ask and tell over subject addresses: where an actor lives is nobody's business.
 * Plain request/reply and publish; what must not be lost goes through an inbox instead.
 */
export interface Messenger {
  /** Sends and forgets. */
  tell(subject: string, body: string | Uint8Array): void;
  /** Rejects with an error of code `no_owner` when nobody serves the address, `timeout` when nobody answered. */
  ask(subject: string, body: string, timeoutMs: number): Promise<Uint8Array>;
  /** Serves an address until the returned function is called. What the handler throws is answered as an internal error. */
  serve(subject: string, handler: (body: Uint8Array, subject: string) => Promise<string> | string): () => void;
  /** Listens without answering. `sole`: nobody else listens to this subject, so what this process tells it need not leave it. */
  listen(
    subject: string,
    handler: (body: Uint8Array, subject: string) => void,
    options?: { readonly sole?: boolean },
  ): () => void;
}
