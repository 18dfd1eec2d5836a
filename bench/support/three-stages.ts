/** A language model over three peers: the first has embedding and head, the two others the layers. */
import { languageModel } from '../../src/models/index.ts'
import type { ModelManifest } from '../../src/models/index.ts'
import { joined, placement } from '../../test/integration/support.ts'
import type { RealPeer } from '../../test/integration/support.ts'

/** Imports it as `bench` at the first, and loads all stages. */
export async function overThree(
  peers: readonly [RealPeer, RealPeer, RealPeer],
  source: string,
): Promise<ModelManifest> {
  const [a, b, c] = peers
  await joined([...peers])
  const { blocks } = await a.access.importModel({ source, name: 'bench' }, () => undefined)
  const middle = blocks >> 1
  const stages = placement('bench', [
    [a, 0, 1],
    [b, 1, middle],
    [c, middle, blocks - 1],
    [a, blocks - 1, blocks],
  ])
  await a.access.deploy('bench', stages, () => undefined)
  return languageModel(await a.access.manifest('bench'))
}
