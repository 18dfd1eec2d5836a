/** A model that leaves this home: never in use, and never the last copy without being asked for it. */
import { audited } from './audited.ts'
import { LastCopyError, ModelInUseError } from './errors.ts'
import type { LocalPeerNeeds } from './local-peer.ts'
import type { RemoveOptions } from './types.ts'

type Needs = Pick<
  LocalPeerNeeds,
  'graphStages' | 'keeper' | 'library' | 'mesh' | 'pins' | 'placing' | 'self' | 'site' | 'stages'
>

/** @throws ModelInUseError, LastCopyError */
export async function removeModel(needs: Needs, model: string, options: RemoveOptions): Promise<void> {
  const { graphStages, keeper, library, placing, pins, self, site, stages, mesh } = needs
  const manifest = await library.resolve(model)
  const serves = placing.placement(model)?.stages.some((stage) => stage.peer === self)
  if (serves === true) throw new ModelInUseError(model)
  // Alone there is nobody who could miss it.
  if (options.last !== true && mesh?.peers().some(({ state }) => state === 'connected') === true) {
    const last = await keeper.lastCopies(manifest)
    const bytes = last.reduce((sum, blob) => sum + blob.bytes, 0)
    if (last.length > 0) throw new LastCopyError(model, last.length, bytes)
  }
  await pins.set(manifest.digest, false)
  await stages.retain(manifest.digest, [])
  await graphStages.release(manifest.digest)
  await mesh?.withdrawManifest(manifest.digest)
  await audited(site, 'model.remove', model, () => library.remove(manifest))
}
