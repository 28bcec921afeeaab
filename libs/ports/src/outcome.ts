/** Expected outcomes of a port are values, keyed by what to do next. Bugs are thrown. */
export type Outcome<T, Refused = never> =
  | { readonly kind: 'ok'; readonly value: T }
  /**
   * Nothing happened, or it is unknown what happened: the same call again is safe, after `error` has been noted. With `unsent`, nothing
   * happened for certain.
   */
  | { readonly kind: 'retry'; readonly error: Error; readonly unsent?: true }
  /** It did not happen and will not, for the reason given. */
  | { readonly kind: 'refused'; readonly reason: Refused };

export function ok<T>(value: T): { readonly kind: 'ok'; readonly value: T } {
  return { kind: 'ok', value };
}

export function retry(error: unknown): { readonly kind: 'retry'; readonly error: Error } {
  return { kind: 'retry', error: error instanceof Error ? error : new Error(String(error)) };
}

export function refused<R>(reason: R): { readonly kind: 'refused'; readonly reason: R } {
  return { kind: 'refused', reason };
}
