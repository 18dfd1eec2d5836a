/** The planner: pure functions over profiles of peers and links, and the check of placements that people write. */
export { checkPlacement, checkReplicas } from './check.ts'
export { isSameTerm, planDocument } from './document.ts'
export type { MeasuredTerm, PlanAsked, PlanDocument } from './document.ts'
export {
  BlockRangeError,
  FleetFileError,
  FleetLinkError,
  FleetPeerError,
  NoPlacementError,
  PLACEMENT_ERRORS,
  PlacementEmptyError,
  PlacementFileError,
  PlacementGapError,
  PlacementOverlapError,
  PlanInputError,
  UnknownPeerError,
  WhatIfError,
} from './errors.ts'
export { chunkRows, MOST_ROWS } from './chunks.ts'
export { soundGuessing } from './guessing.ts'
export { checkPlacementFile, parsePlacementFile } from './file.ts'
export { MAX_BATCH_POINTS, soundCurve } from './curve.ts'
export { DEVICES } from './devices.ts'
export type { Device } from './devices.ts'
export { MAX_FLEET_BYTES, parseFleet } from './fleet.ts'
export type { Fleet } from './fleet.ts'
export { adviceFor } from './advice.ts'
export type { Advice } from './advice.ts'
export { runnersUp } from './runners-up.ts'
export type { RunnerUp } from './runners-up.ts'
export { applyWhatIf } from './what-if.ts'
export { coverageOf } from './living/coverage.ts'
export type { Coverage, CoveredBlocks } from './living/coverage.ts'
export { changed, decide, judge, weigh } from './living/decide.ts'
export { FINISH_MS, MOST_DECIDERS, RANK_MS, SETTLE_MS } from './living/limits.ts'
export { hasBecomeSlow, isStillReady } from './living/slower.ts'
export { decisionOrder } from './living/rank.ts'
export type { Decision, HeldBlocks, HeldBy, LivingNote, LivingState, Move, Weighed } from './living/types.ts'
export { planInOrder, planPlacement, predictStages } from './plan.ts'
export { planRange } from './range.ts'
export { ORIGIN } from './types.ts'
export type {
  BatchPoint,
  Guessing,
  Objective,
  PeerShare,
  PlacementFile,
  PlacementKind,
  Plan,
  PlanBlock,
  PlanInput,
  PlanLink,
  Planner,
  PlanPeer,
  PlanTerm,
  PlanUnit,
  Prediction,
  Stage,
} from './types.ts'
