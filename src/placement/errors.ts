/** What can be wrong with a placement; one class a cause. `entry` is the place of the offending stage, from 0. */
import { EXIT, WeftError } from '../errors.ts'
import type { ErrorInfo } from '../errors.ts'
import type { Plan, Stage } from './types.ts'

function show(stage: Stage): string {
  return `${stage.peer} [${stage.from}, ${stage.to})`
}

export class PlacementFileError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-PLN-001',
    title: 'Not a placement file',
    meaning: 'A placement is not JSON of the form {"model": M, "stages": [{"peer": PeerId, "from": i, "to": j}]}.',
    remedy: 'Write it as {"model": M, "stages": [{"peer": PeerId, "from": i, "to": j}]}; weft peers lists the ids.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(why: string, where: string) {
    super(PlacementFileError.info, `not a placement: ${why}`, { details: { where } })
  }
}

export class PlacementEmptyError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-PLN-002',
    title: 'Placement without stages',
    meaning: 'A placement must cover every block of the model, and this one covers none.',
    remedy: 'Give at least one stage; weft undeploy takes a placement back.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(blocks: number) {
    super(PlacementEmptyError.info, `the placement has no stages for ${blocks} blocks`, { details: { blocks } })
  }
}

export class BlockRangeError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-PLN-003',
    title: 'Unknown block range',
    meaning: 'A stage of a placement names blocks that the model does not have, or no block at all.',
    remedy: 'weft show MODEL lists the blocks; a stage holds the blocks from "from" up to, not including, "to".',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(stage: Stage, entry: number, blocks: number) {
    super(BlockRangeError.info, `stage ${entry} (${show(stage)}) is no range of the ${blocks} blocks`, {
      details: { entry, ...stage, blocks },
    })
  }
}

export class PlacementGapError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-PLN-004',
    title: 'Placement with a gap',
    meaning: 'Some blocks of the model are in no stage of the placement.',
    remedy: 'Let every stage begin where the one before it ends, from block 0 to the last.',
    exit: EXIT.usage,
    http: 400,
  }
  /** Blocks [from, to) are missing before stage `entry`, or after the last one. */
  constructor(from: number, to: number, entry: number) {
    super(PlacementGapError.info, `no stage holds blocks [${from}, ${to})`, { details: { entry, from, to } })
  }
}

export class PlacementOverlapError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-PLN-005',
    title: 'Placement with an overlap',
    meaning: 'A stage begins before the one in front of it ends: a block stands twice, or the order is wrong.',
    remedy: 'List the stages in the order of the blocks, each block once.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(stage: Stage, entry: number, before: Stage) {
    const same = stage.from === before.from && stage.to === before.to && stage.peer === before.peer
    const clash = `stage ${entry} (${show(stage)}) begins before stage ${entry - 1} (${show(before)}) ends`
    const message = same ? `stage ${entry} (${show(stage)}) stands twice` : clash
    super(PlacementOverlapError.info, message, { details: { entry, ...stage, before } })
  }
}

export class UnknownPeerError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-PLN-006',
    title: 'Placement on an unknown peer',
    meaning: 'A stage is placed on a peer that is not in the mesh.',
    remedy: 'weft peers lists the ids of the peers that are there; "origin" is whoever takes the request.',
    exit: EXIT.notFound,
    http: 404,
  }
  constructor(stage: Stage, entry: number) {
    super(UnknownPeerError.info, `stage ${entry} is placed on ${stage.peer}, which is not in the mesh`, {
      details: { entry, ...stage },
    })
  }
}

/** Nothing fits; carries what the planner found. */
export class NoPlacementError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-PLN-007',
    title: 'No placement',
    meaning: 'The peers that are there cannot hold the model with the wanted context and sessions.',
    remedy: 'Add a peer, give weft more memory (--memory), ask for less context, or take a smaller model.',
    exit: EXIT.noResources,
    http: 503,
    retryable: true,
  }
  constructor(model: string, plan: Pick<Plan, 'needBytes' | 'haveBytes' | 'why'>) {
    const { needBytes, haveBytes, why } = plan
    super(
      NoPlacementError.info,
      `${model} does not fit: it needs ${needBytes} bytes, the peers have ${haveBytes} bytes free`,
      { why: why.join('; '), details: { model, needBytes, haveBytes, options: why } },
    )
  }
}

/** The planner was asked something that has no meaning. A fault of the caller. */
export class PlanInputError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-PLN-008',
    title: 'Not a question for the planner',
    meaning: 'A size, speed or id that the planner was given is not possible.',
    remedy: 'Run weft doctor: it shows what this peer has measured; report it with weft bugreport.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(field: string, why: string) {
    super(PlanInputError.info, `cannot plan: ${field} ${why}`, { details: { field } })
  }
}

export class FleetFileError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-PLN-009',
    title: 'Not a fleet file',
    meaning:
      'A fleet file is no JSON, has another shape, a negative or impossible figure, or is larger than any fleet.',
    remedy: 'peers/README.md describes the file field by field, and peers/fleets/ has a dozen examples.',
    exit: EXIT.usage,
    http: 400,
  }
  /** @param where the field, e.g. `peers.3.speed` */
  constructor(file: string, why: string, where = '') {
    super(FleetFileError.info, `${file} is no fleet: ${where === '' ? '' : `${where}: `}${why}`, {
      details: { file, where },
    })
  }
}

export class FleetPeerError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-PLN-010',
    title: 'Fleet with a peer that cannot be',
    meaning:
      'In a fleet file two peers or sites have one name, the origin is no peer of it, or a device or site is unknown.',
    remedy: 'Give each peer a name of its own, name one of them as origin, and take devices from peers/README.md.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(file: string, peer: string, why: string) {
    super(FleetPeerError.info, `${file}: ${peer} ${why}`, { details: { file, peer } })
  }
}

export class FleetLinkError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-PLN-011',
    title: 'Fleet with a link that cannot be',
    meaning: 'In a fleet file a link names no peer and no site of it, joins a peer to itself, or stands twice.',
    remedy: 'Name peers or sites of the file at both ends, and each pair once; the reverse direction may differ.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(file: string, from: string, to: string, why: string) {
    super(FleetLinkError.info, `${file}: the link from ${from} to ${to} ${why}`, { details: { file, from, to } })
  }
}

export class WhatIfError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-PLN-012',
    title: 'Not a change of the mesh',
    meaning: 'A --what-if names a peer that is not there, or says something that cannot be changed.',
    remedy:
      'Write add:NAME=DEVICE, remove:NAME, memory:NAME=8GB, speed:NAME=2 or link:A-B=rtt:5,bandwidth:125M; docs/placement.md.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(change: string, why: string) {
    super(WhatIfError.info, `--what-if ${change}: ${why}`, { details: { change } })
  }
}

export const PLACEMENT_ERRORS: readonly ErrorInfo[] = [
  PlacementFileError.info,
  PlacementEmptyError.info,
  BlockRangeError.info,
  PlacementGapError.info,
  PlacementOverlapError.info,
  UnknownPeerError.info,
  NoPlacementError.info,
  PlanInputError.info,
  FleetFileError.info,
  FleetPeerError.info,
  FleetLinkError.info,
  WhatIfError.info,
]
