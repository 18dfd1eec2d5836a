/** The planner: pure functions over profiles of peers and links, and the check of placements that people write. */
export { checkPlacement } from './check.ts'
export {
  BlockRangeError,
  NoPlacementError,
  PLACEMENT_ERRORS,
  PlacementEmptyError,
  PlacementFileError,
  PlacementGapError,
  PlacementOverlapError,
  PlanInputError,
  UnknownPeerError,
} from './errors.ts'
export { checkPlacementFile, parsePlacementFile } from './file.ts'
export { planPlacement } from './plan.ts'
export { ORIGIN } from './types.ts'
export type {
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
  Stage,
} from './types.ts'
