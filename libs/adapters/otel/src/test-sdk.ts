import { context, diag, propagation, trace } from '@opentelemetry/api';
import { NodeSDK } from '@opentelemetry/sdk-node';

type Processor = NonNullable<NonNullable<ConstructorParameters<typeof NodeSDK>[0]>['spanProcessors']>[number];
export type EndedSpan = Parameters<Processor['onEnd']>[0];

/** A real SDK whose spans end here. */
export function startTestSdk(): { readonly spans: EndedSpan[]; stop(): Promise<void> } {
  const spans: EndedSpan[] = [];
  const collector: Processor = {
    onStart: () => undefined,
    onEnd: (span) => void spans.push(span),
    forceFlush: () => Promise.resolve(),
    shutdown: () => Promise.resolve(),
  };
  const sdk = new NodeSDK({
    spanProcessors: [collector],
    metricReaders: [],
    logRecordProcessors: [],
    resourceDetectors: [],
  });
  sdk.start();
  return {
    spans,
    stop: async () => {
      await sdk.shutdown();
      for (const api of [trace, context, propagation, diag]) api.disable();
    },
  };
}
