/**
 * Suites that `npm run test:long` and whole runs have alone, each with the path behind `test/`: what they try on many processes,
 * machines or rounds is tried once, smaller, in `npm test`. Suites with a part of that kind name it by `isLong` instead.
 */
export const LONG_SUITES: readonly string[] = [
  'compress/import-measured',
  'federated/buckets',
  'federated/forged-transcripts',
  'federated/signed-results',
  'integration/crowd',
  'integration/netlab',
  'integration/serving',
  'integration/stage-share',
  'mesh/relayed-enrolment',
  'mesh/swarm',
  'models/import-in-child',
  'peer/decoder',
  'peer/drafts',
  'peer/embed',
  'peer/graph-stages',
  'pipeline/damage',
  'pipeline/graph/pipeline',
  'simulation/simulation',
]
