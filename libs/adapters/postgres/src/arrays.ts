/** Array literals of Postgres, built in one go: the client's own way costs a call for each element. */

/** Of numbers and of what needs no quotes, such as hex digits; undefined is NULL. */
export function plainArray(values: readonly (number | string | undefined)[]): string {
  // Array.join writes undefined as nothing, which an array literal does not know.
  return `{${values.map((value) => (value === undefined ? 'NULL' : value)).join(',')}}`;
}

const SPECIAL = /["\\]/g;

/** Of any texts without NUL; undefined is NULL. */
export function textArray(values: readonly (string | undefined)[]): string {
  const quoted = values.map((value) => (value === undefined ? 'NULL' : `"${value.replace(SPECIAL, '\\$&')}"`));
  return `{${quoted.join(',')}}`;
}

/** Of bytea; undefined is NULL. */
export function bytesArray(values: readonly (Uint8Array | undefined)[]): string {
  const quoted = values.map((value) => {
    if (value === undefined) return 'NULL';
    return `"\\\\x${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')}"`;
  });
  return `{${quoted.join(',')}}`;
}
