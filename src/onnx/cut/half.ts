/**
 * float16 on processors without kernels for it: the engine (1.30) computes in float32 between casts, at every level, and
 * drops pairs of casts, so that values in between are not rounded. A boundary sent as float32 keeps that. But operators
 * that only move elements have float16 kernels, and whether one of them runs in float16 depends on its neighbours: it
 * stays with them.
 */
import type { ValueType } from '../ir/index.ts'
import type { FusionGroup } from './fusions.ts'
import type { Structure } from './structure.ts'

const MOVING = new Set([
  'Concat',
  'DepthToSpace',
  'Expand',
  'Flatten',
  'Gather',
  'GatherElements',
  'GatherND',
  'Identity',
  'Pad',
  'Reshape',
  'ScatterElements',
  'ScatterND',
  'Slice',
  'SpaceToDepth',
  'Split',
  'Squeeze',
  'Tile',
  'Transpose',
  'Unsqueeze',
  'Where',
])

export function halfGroups(structure: Structure, types: ReadonlyMap<string, ValueType>): readonly FusionGroup[] {
  const { nodes, reads, producers } = structure
  const groups: FusionGroup[] = []
  for (const node of nodes.keys()) {
    for (const name of reads[node]!) {
      const producer = producers.get(name)
      const type = types.get(name)
      if (producer === undefined || type?.kind !== 'tensor' || type.type !== 'float16') continue
      if (MOVING.has(nodes[node]!.opType) || MOVING.has(nodes[producer]!.opType)) groups.push([producer, node])
    }
  }
  return groups
}
