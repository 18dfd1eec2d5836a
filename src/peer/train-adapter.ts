/** `weft train` on a language model of this home, in this process: no peer need run. */
import { createTokenizer, languageModel, loadManifests } from '../models/index.ts'
import type { ModelManifest, TokenizerDefinition } from '../models/index.ts'
import { createOrtEngine } from '../onnx/index.ts'
import { createBlobStore } from '../store/index.ts'
import { formOf, FrozenBlocks, localLine, trainAdapter } from '../training/index.ts'
import type { BaseModel, TrainOutcome, TrainProgress, TrainRequest } from '../training/index.ts'
import { systemClock } from '../util/index.ts'
import { ModelUnknownError } from './errors.ts'
import { homePaths } from './home.ts'

/** @throws ModelUnknownError, ModelKindError, and what training throws */
export async function trainAdapterHere(
  home: string,
  request: TrainRequest,
  progress: (progress: TrainProgress) => void,
  signal?: AbortSignal,
): Promise<TrainOutcome> {
  const engine = createOrtEngine()
  const base = async (name: string): Promise<BaseModel> => {
    const paths = homePaths(home, process.env)
    const { manifests } = await loadManifests(paths.partitions)
    const found = manifests.find((known) => known.model === name || known.digest === name)
    if (found === undefined) throw new ModelUnknownError(name, false)
    const manifest: ModelManifest = languageModel(found)
    const store = await createBlobStore({ directory: paths.store, readOnly: true })
    const definition = Buffer.from(await store.readAll(manifest.tokenizer.address)).toString('utf8')
    return {
      manifest,
      store,
      tokenizer: createTokenizer(JSON.parse(definition) as TokenizerDefinition),
      line: async (spec, length, folder, threads) => {
        const options = { threads, optimization: 'basic' as const }
        const blocks = new FrozenBlocks({ engine, folder, options, store, manifest })
        return localLine(await blocks.open(0, manifest.blocks.length, length, formOf(spec)), () => blocks.close())
      },
    }
  }
  return trainAdapter({ clock: systemClock(), engine, base }, request, progress, signal)
}
