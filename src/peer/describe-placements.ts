/** Placements that stand, for `weft ps`, `weft status` and `weft plan --running`. */
import type { MeshPlacement } from '../mesh/index.ts'
import { coverageOf } from '../placement/index.ts'
import type { StatusNeeds } from './describe.ts'
import type { PlacementView, ReplanStatus } from './placement-view.ts'
import { heldBlocks } from './replan-input.ts'
import type { ReplanView } from './replanning.ts'

export function describePlacements(needs: StatusNeeds): PlacementView[] {
  return needs.placing.placements().map((placement) => {
    const { model, digest, epoch, author, kind, stages, replicas } = placement
    const view = viewOf(needs, placement)
    return {
      model,
      digest,
      epoch,
      author,
      pinned: kind === 'hand',
      stages,
      replicas,
      coverage: coverage(needs, placement),
      replan: view === undefined ? null : replanStatus(needs, view),
    }
  })
}

/** What cannot be weighed is shown without. */
function viewOf({ replanning }: StatusNeeds, placement: MeshPlacement): ReplanView | undefined {
  if (replanning === null || replanning.mode === 'off') return undefined
  try {
    return replanning.view(placement)
  } catch {
    return undefined
  }
}

function coverage({ self, library, mesh }: StatusNeeds, { digest, stages }: MeshPlacement): PlacementView['coverage'] {
  const manifest = library.byDigest(digest)
  if (mesh === null || manifest === undefined) return null
  const there = mesh.peers().filter(({ state }) => state === 'connected')
  return coverageOf(manifest.blocks.length, stages, heldBlocks(mesh, [self, ...there.map(({ id }) => id)], digest))
}

function replanStatus({ replanning }: StatusNeeds, { decision, deciders }: ReplanView): ReplanStatus | null {
  const mode = replanning?.mode
  if (mode === undefined || mode === 'off') return null
  const { move } = decision
  return {
    mode,
    action: decision.action,
    held_by: decision.heldBy,
    wait_s: decision.action === 'keep' ? Math.ceil(decision.waitMs / 1000) : 0,
    target: move?.target ?? null,
    now_ms: move?.nowMs ?? null,
    then_ms: move?.thenMs ?? null,
    gain: move?.gain ?? null,
    bytes: move?.bytes ?? null,
    seconds: move?.seconds ?? null,
    payback_s: move?.paybackSeconds ?? null,
    deciders,
  }
}
