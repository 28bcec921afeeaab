import type { StandardSchemaV1 } from '@standard-schema/spec';

import { belfryError, type BelfryError } from './errors.ts';

export type Validated<T> = { readonly value: T } | { readonly error: BelfryError };

/** Checks a payload. Of several issues the first gives the path; the others are counted. */
export async function validatePayload<T>(
  schema: StandardSchemaV1<unknown, T>,
  payload: unknown,
): Promise<Validated<T>> {
  let result = schema['~standard'].validate(payload);
  if (result instanceof Promise) result = await result;
  if (result.issues === undefined) return { value: result.value };
  const [first, ...others] = result.issues;
  const rest = others.length === 0 ? '' : ` (and ${others.length} more)`;
  return { error: belfryError('invalid_field', `${first?.message ?? 'is not valid'}${rest}`, payloadPath(first)) };
}

/** `payload.items[3].name`. */
function payloadPath(issue: StandardSchemaV1.Issue | undefined): string {
  return (issue?.path ?? []).reduce<string>((path, segment) => {
    const key = typeof segment === 'object' ? segment.key : segment;
    return typeof key === 'number' ? `${path}[${key}]` : `${path}.${String(key)}`;
  }, 'payload');
}
