import { existsSync } from 'node:fs';

import { configDefaults, defineConfig } from 'vitest/config';

/** Starts one pair of servers for the whole run. */
const SERVERS = './libs/adapters/embedded/src/vitest-setup.ts';

/** What a test needs is told by its file's name: these need servers or whole processes, the others nothing. */
const NEEDING_SERVERS = ['pg', 'nats', 'e2e'];
const ROOMS = '{apps,libs,tools,examples}';
const serverTests = `${ROOMS}/**/*.{${NEEDING_SERVERS.join(',')}}.test.ts`;
const exclude = [...configDefaults.exclude, '**/.belfry/**'];

export default defineConfig({
  test: {
    reporters: ['default', './tools/tidy/closing-line.ts'],
    pool: 'forks',
    // Servers under test share the machine with their tests.
    maxWorkers: 2,
    // What is polled for comes when it comes: the default of a second is a wall-clock time that a busy machine misses.
    expect: { poll: { timeout: 30_000 } },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: [`${ROOMS}/**/*.test.{ts,mjs}`],
          exclude: [...exclude, serverTests],
          sequence: { groupOrder: 0 },
          // Generous, because machines are shared and noisy; a test that needs them is rare.
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'servers',
          include: [serverTests],
          exclude,
          sequence: { groupOrder: 1 },
          globalSetup: existsSync(SERVERS) ? [SERVERS] : [],
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
