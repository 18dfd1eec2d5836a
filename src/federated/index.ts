/** Federated training that keeps its secrets: secure sums, privacy and its accounting, strategies of aggregation. */
export {
  DigestMismatchError,
  EmptyInputError,
  FEDERATED_ERRORS,
  FederatedError,
  ModulusError,
  NotFiniteError,
  OutOfBoundError,
  PaddingError,
  ParameterRangeError,
  VectorLengthError,
} from './errors.ts'
export type { Place } from './errors.ts'
export { planHash } from './plan-hash.ts'
export {
  CiphertextError,
  DuplicateIdentityError,
  DuplicateKeyError,
  DuplicateShareError,
  MinimumRecordsError,
  NotMemberError,
  OrderError,
  OwnKeysError,
  ReplayError,
  SECAGG_ERRORS,
  ShareError,
  SignatureError,
  SurvivorsError,
  ThresholdError,
  WeakKeyError,
} from './secagg/errors.ts'
export { addVector, SecureAggregator, sumDigest } from './secagg/aggregator.ts'
export type { AggregatorInit, AggregatorNeeds, SecureSum } from './secagg/aggregator.ts'
export { auditRound } from './secagg/audit.ts'
export type { Transcript } from './secagg/audit.ts'
export { ascii, compareBytes, concat, equalBytes } from './secagg/bytes.ts'
export { SecureClient } from './secagg/client.ts'
export type { ClientInit, ClientNeeds, RoundSecrets } from './secagg/client.ts'
export { checkEncoding, checkSum, decodeWords, integerBound, leastBits, roundStochastic } from './secagg/encoding.ts'
export type { Encoding, SumParameters } from './secagg/encoding.ts'
export { COMPLETE, createGraph } from './secagg/graph.ts'
export type { Graph, GraphChoice } from './secagg/graph.ts'
export { channelKeys, maskStream, pairKey, selfKey, shareContext } from './secagg/keys.ts'
export type { KeyPair } from './secagg/keys.ts'
export { headerBytes, sessionId } from './secagg/layout.ts'
export type { Advertisement, RoundHeader } from './secagg/layout.ts'
export type {
  Consistency,
  MaskedTrailer,
  Reveal,
  RevealedShare,
  SealedShares,
  SharesMessage,
  Survivor,
} from './secagg/messages.ts'
export { checkPacked, pack, packedBytes, unpack } from './secagg/packing.ts'
export { nodePrimitives } from './secagg/primitives.ts'
export type { Hash, KeyStream, Primitives } from './secagg/primitives.ts'
export { leastMembers } from './secagg/roster.ts'
export { checkShares, combine, split } from './secagg/shamir.ts'
export type { Share } from './secagg/shamir.ts'
export { volatileSignedRounds } from './secagg/signed-rounds.ts'
export type { SignedRounds } from './secagg/signed-rounds.ts'
export { uniformOf, updateOfIntegers, updateOfReals } from './secagg/update.ts'
export type { Uniform, UpdateSource } from './secagg/update.ts'
export type { CommittedMember } from './secagg/unmask.ts'
export { createStrategy, STRATEGIES } from './aggregation/strategies.ts'
export { bearableAttackers, bucketsOf, membersToBear } from './aggregation/bucketed.ts'
export type {
  Aggregation,
  AggregationInput,
  ClientUpdate,
  Sight,
  Strategy,
  StrategyParameters,
} from './aggregation/types.ts'
export { accountedEpsilon, pldOf, rdpOf } from './privacy/accounting.ts'
export type { Accountant, Accounted } from './privacy/accounting.ts'
export { clipToNorm, l2Norm, nextBound, splitNoise } from './privacy/clipping.ts'
export type { AdaptiveClipping, Clipped } from './privacy/clipping.ts'
export { addDiscreteGaussian, discreteGaussian } from './privacy/discrete-gaussian.ts'
export { distributedEpsilon, distributedRdp, INTEGER_ORDERS, noiseBounds, shareSigmaOf } from './privacy/distributed.ts'
export type { DistributedNoise, NoiseBounds, Rounding } from './privacy/distributed.ts'
export type { GaussianEvent, Spending } from './privacy/events.ts'
export { gaussianEpsilon } from './privacy/gaussian.ts'
export { composedEpsilon } from './privacy/loss-composition.ts'
export { composedRdp, DEFAULT_ORDERS, epsilonOfRdp, rdpEpsilon } from './privacy/renyi.ts'
export { keyedWords, wordsFrom } from './privacy/words.ts'
export type { Words } from './privacy/words.ts'
export { openPrivacyLedger } from './privacy/ledger.ts'
export type { Budget, LedgerNeeds, PrivacyLedger, Receipt } from './privacy/ledger.ts'
export type { Cap, Charge, LedgerEvent, LedgerHead, PrivacyUnit } from './privacy/ledger-entries.ts'
export {
  BudgetExceededError,
  ClockBackError,
  LEDGER_ERRORS,
  LedgerBusyError,
  LedgerDamagedError,
  LedgerRolledBackError,
  LedgerUnwritableError,
  NoBudgetError,
} from './privacy/ledger-errors.ts'
export type { LedgerPlaces, LedgerSigner } from './privacy/ledger-file.ts'
export { FED_PLAN_ERRORS } from './plan/errors.ts'
export {
  BaseModelError,
  FedPlanError,
  JobAmbiguousError,
  JobRefusedError,
  JobStateError,
  JobUnknownError,
  MessageSizeError,
  PlanChangedError,
  RoundAbortedError,
  SiteRecordsError,
  TrainerError,
} from './plan/errors.ts'
export { checkFedPlan, readFedData, readFedPlan } from './plan/read-plan.ts'
export { mostWithVotes } from './plan/buffer.ts'
export { checkJobPlan, extentOf, isAnalysis, readJobPlan } from './plan/job-plan.ts'
export type { JobPlan } from './plan/job-plan.ts'
export { checkAnalysisPlan } from './plan/read-analysis.ts'
export type { AnalysisPlan, StatisticSpec } from './plan/analysis-schema.ts'
export { AnalysisMath } from './analysis/math.ts'
export { AnalysisSite } from './analysis/site.ts'
export { analysisResult, analysisWarnings } from './analysis/result.ts'
export type { AnalysisResult, StatisticResult } from './analysis/result.ts'
export { auditFolder } from './fleet/audit.ts'
export type { AuditReport } from './fleet/audit.ts'
export type { AuditedRound, Finding } from './fleet/audit-round.ts'
export { HOLD_STAGES } from './fleet/hooks.ts'
export type { JobResults } from './fleet/results.ts'
export type { SiteData } from './plan/read-plan.ts'
export type { FedData, FedPlan, PrivacySpec } from './plan/schema.ts'
export { shared } from './plan/strategy.ts'
export { leavesExactStatistics, rangesOf } from './plan/bounded-statistics.ts'
export { checkPrivacy, cohortOf, noiseOf, roundOf, sumsOf } from './plan/cohort.ts'
export { sharingOf } from './plan/sharing.ts'
export { thresholdOf } from './plan/threshold.ts'
export type { Filter, Outgoing } from './rounds/collector.ts'
export { Coordinator } from './rounds/coordinator.ts'
export { COORDINATOR_TIMES } from './rounds/coordinator-types.ts'
export type { CoordinatorNeeds } from './rounds/coordinator-types.ts'
export { candidates } from './rounds/election.ts'
export { leastOfGroup } from './plan/cohort.ts'
export { JobView } from './rounds/job-view.ts'
export type { JobMember } from './rounds/job-view.ts'
export { MemberLoop } from './rounds/member-loop.ts'
export { MEMBER_TIMES } from './rounds/member-types.ts'
export type { MemberNeeds } from './rounds/member-types.ts'
export { folderFiles, MemberState } from './rounds/member-state.ts'
export type { StateFiles } from './rounds/member-state.ts'
export { pipeOver, pipePair } from './rounds/pipe.ts'
export type { Message, Pipe } from './rounds/pipe.ts'
export { RoundMath } from './rounds/math.ts'
export { decodeState, encodeState, FIRST_STATE, stateHash } from './rounds/state.ts'
export type { FedState } from './rounds/state.ts'
export { bodyOf, expectOf, FED_PROTOCOL } from './rounds/wire.ts'
export { decodeSumsTranscript, encodeSumsTranscript } from './rounds/sums-transcript.ts'
export { decodeTranscript, encodeTranscript } from './rounds/transcript.ts'
export { checkOutside, trainOutside } from './site/external.ts'
export { Site } from './site/site.ts'
export { LanguageTrainer } from './site/language-trainer.ts'
export { openTrainer } from './site/open-trainer.ts'
export type { BaseProvider, LocalTrainer, TrainerNeeds } from './site/local-trainer.ts'
export { SiteTrainer } from './site/trainer.ts'
export { baseOf, isLanguage } from './plan/language.ts'
export type { FedBase } from './plan/language.ts'
export { Federation } from './fleet/federation.ts'
export type { JobStatus } from './fleet/describe.ts'
export type { Exported } from './fleet/export.ts'
export { standingModel } from './fleet/standing-model.ts'
export type { StandingModel } from './fleet/standing-model.ts'
export type { TakingPart } from './fleet/taking-part.ts'
export type { FederationNeeds, JoinRequest } from './fleet/needs.ts'
export { checkData } from './fleet/check-data.ts'
export type { CheckedData } from './fleet/check-data.ts'
export { ATTACKS } from './simulate/spec.ts'
export type { SimulationSpec } from './simulate/spec.ts'
export { simulateFederation } from './simulate/sites.ts'
export { Simulation } from './simulate/simulation.ts'
export { LocalPool } from './simulate/pool.ts'
export { partition } from './simulate/partition.ts'
export { simulateSecureSum } from './simulate/secure-sum.ts'
export { freeRiders } from './aggregation/free-riders.ts'
export { standingRounds } from './fleet/standing-rounds.ts'
