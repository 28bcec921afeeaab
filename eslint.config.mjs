import { builtinModules } from 'node:module';

import nx from '@nx/eslint-plugin';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

import { ensureProjectGraph } from './tools/tidy/project-graph.mjs';
import { depConstraints, ROOMS } from './tools/tidy/rooms.mjs';

await ensureProjectGraph();

const TESTS = [
  '**/*.test.{ts,mjs}',
  '**/testing.ts',
  '**/testing/**/*.ts',
  '**/*conformance*.ts',
  '**/test-*.ts',
  '**/vitest-setup.ts',
];
const PURE = Object.values(ROOMS).flatMap(({ pure }) => (pure === undefined ? [] : [`${pure}/src/**/*.ts`]));

/** What a core may use of Node: computing, nothing that looks at or acts on the world. */
const PURE_MODULES = ['assert', 'assert/strict', 'buffer', 'crypto', 'zlib'];
const IMPURE_MODULES = builtinModules
  .map((name) => name.replace(/^node:/, ''))
  .filter((name) => !PURE_MODULES.includes(name));
const IMPURE_CRYPTO = [
  'getRandomValues',
  'randomBytes',
  'randomFill',
  'randomFillSync',
  'randomInt',
  'randomUUID',
  'subtle',
  'webcrypto',
];
const IMPURE_GLOBALS = [
  'crypto',
  'fetch',
  'performance',
  'process',
  'setImmediate',
  'setInterval',
  'setTimeout',
  'WebSocket',
];
const PURE_SAYS = 'A core is pure: time, chance and the world come in with its input (docs/architecture.md).';

export default defineConfig(
  globalIgnores(['**/node_modules', '**/.belfry', '**/dist', '**/coverage', '.nx']),
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    files: ['**/*.{ts,mjs}'],
    extends: [tseslint.configs.recommendedTypeChecked],
    // Written against the types of an older ESLint.
    plugins: { '@nx': /** @type {import('eslint').ESLint.Plugin} */ (/** @type {unknown} */ (nx)) },
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@nx/enforce-module-boundaries': [
        'error',
        { depConstraints: depConstraints({ tests: false }), banTransitiveDependencies: true },
      ],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      // A port's method is async whether or not the version at hand has anything to wait for.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowBoolean: true, allowNever: true, allowNumber: true },
      ],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
    },
  },
  {
    files: ['libs/**/*.ts'],
    rules: { 'no-console': 'error' },
  },
  {
    files: PURE,
    ignores: TESTS,
    rules: {
      'no-restricted-globals': ['error', ...IMPURE_GLOBALS.map((name) => ({ name, message: PURE_SAYS }))],
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: PURE_SAYS },
        { object: 'Math', property: 'random', message: PURE_SAYS },
        ...IMPURE_GLOBALS.map((property) => ({ object: 'globalThis', property, message: PURE_SAYS })),
      ],
      'no-restricted-syntax': [
        'error',
        { selector: 'NewExpression[callee.name="Date"][arguments.length=0]', message: PURE_SAYS },
      ],
      'no-restricted-imports': [
        'error',
        {
          paths: [
            ...IMPURE_MODULES.flatMap((name) => [name, `node:${name}`]).map((name) => ({ name, message: PURE_SAYS })),
            { name: 'node:crypto', importNames: IMPURE_CRYPTO, message: PURE_SAYS },
          ],
        },
      ],
    },
  },
  {
    files: TESTS,
    rules: {
      '@nx/enforce-module-boundaries': [
        'error',
        { depConstraints: depConstraints({ tests: true }), banTransitiveDependencies: true },
      ],
      // Matchers such as expect.any() have the type any.
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/unbound-method': 'off',
      'no-console': 'off',
    },
  },
);
