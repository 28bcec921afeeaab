import type { Reporter, SerializedError, TestModule } from 'vitest/node';

/**
 * Vitest reporter: ends the run with the plain line `N passed, N failed, N skipped`, which scripts and CI read. What
 * fails outside of a test (a file that does not load, an unhandled rejection) counts as failed.
 */
export default class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    console.log(closingLine(modules, unhandledErrors));
  }
}

/** What of vitest's modules is read here. */
interface CountedModule {
  errors(): readonly unknown[];
  readonly children: {
    allSuites(): Iterable<{ errors(): readonly unknown[] }>;
    allTests(): Iterable<{ result(): { readonly state: string } }>;
  };
}

export function closingLine(modules: readonly CountedModule[], unhandledErrors: readonly unknown[]): string {
  let passed = 0;
  let failed = unhandledErrors.length;
  let skipped = 0;
  for (const module of modules) {
    failed += module.errors().length;
    for (const suite of module.children.allSuites()) failed += suite.errors().length;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      if (state === 'passed') passed += 1;
      else if (state === 'skipped') skipped += 1;
      else failed += 1; // also one that never came to an end
    }
  }
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}
