import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import type { TimerSnapshot } from '@belfry/timing';

/** A snapshot in buffers of its own, whose memory is fresh from the system. */
export function copied(snapshot: TimerSnapshot): TimerSnapshot {
  return snapshot.map((source) => {
    const buffer = bufferLike(source);
    new Uint8Array(buffer).set(new Uint8Array(source));
    return buffer;
  });
}

/** Holds one snapshot at a time, a buffer after the other. */
export class SnapshotFile {
  readonly #folder = mkdtempSync(path.join(tmpdir(), 'belfry-timing-'));
  readonly #file = openSync(path.join(this.#folder, 'snapshot'), 'w+');

  write(snapshot: TimerSnapshot): void {
    let at = 0;
    for (const buffer of snapshot)
      for (let from = 0; from < buffer.byteLength;) {
        const written = writeSync(this.#file, new Uint8Array(buffer, from), 0, buffer.byteLength - from, at);
        from += written;
        at += written;
      }
  }

  /** Reads what was written, of buffers of these lengths, into fresh ones. */
  read(lengths: TimerSnapshot): TimerSnapshot {
    let at = 0;
    return lengths.map((source) => {
      const buffer = bufferLike(source);
      for (let from = 0; from < buffer.byteLength;) {
        const read = readSync(this.#file, new Uint8Array(buffer, from), 0, buffer.byteLength - from, at);
        if (read === 0) throw new Error(`the file of the snapshot ends at ${at}`);
        from += read;
        at += read;
      }
      return buffer;
    });
  }

  close(): void {
    closeSync(this.#file);
    rmSync(this.#folder, { recursive: true });
  }
}

function bufferLike({ byteLength, resizable, maxByteLength }: ArrayBuffer): ArrayBuffer {
  return resizable ? new ArrayBuffer(byteLength, { maxByteLength }) : new ArrayBuffer(byteLength);
}
