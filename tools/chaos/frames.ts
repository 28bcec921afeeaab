/** One piece of what a NATS server says to a client: a message with its payload, or a line of the protocol. */
export interface Frame {
  readonly bytes: Buffer;
  readonly isMessage: boolean;
  /** A message of a stream: its reply subject is where it is acknowledged. */
  readonly isDelivery: boolean;
}

const END = '\r\n';

/** Cuts what a NATS server sends into frames. Bytes go in as they come, whole frames come out, in order and complete. */
export class Frames {
  #rest: Buffer = Buffer.alloc(0);

  add(chunk: Buffer): Frame[] {
    let rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const frames: Frame[] = [];
    for (;;) {
      const lineEnd = rest.indexOf(END);
      if (lineEnd < 0) break;
      const words = rest.toString('latin1', 0, lineEnd).split(' ');
      const isMessage = words[0] === 'MSG' || words[0] === 'HMSG';
      const length = lineEnd + END.length + (isMessage ? Number(words.at(-1)) + END.length : 0);
      if (rest.length < length) break;
      frames.push({
        bytes: rest.subarray(0, length),
        isMessage,
        isDelivery: isMessage && replyOf(words).startsWith('$JS.ACK.'),
      });
      rest = rest.subarray(length);
    }
    this.#rest = rest;
    return frames;
  }
}

/** `MSG <subject> <sid> [reply] <bytes>`, `HMSG <subject> <sid> [reply] <header bytes> <bytes>`. */
function replyOf(words: readonly string[]): string {
  const others = words[0] === 'MSG' ? 4 : 5;
  return words.length > others ? (words[3] as string) : '';
}
