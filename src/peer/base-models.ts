/** Language models of a home as training takes them: in this process, their weights there once, whoever trains beside them. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BaseProvider } from '../federated/index.ts'
import { createTokenizer, languageModel, loadManifests } from '../models/index.ts'
import type { ModelManifest, Tokenizer, TokenizerDefinition } from '../models/index.ts'
import { createOrtEngine } from '../onnx/index.ts'
import type { BlobStore } from '../store/index.ts'
import { createBlobStore } from '../store/index.ts'
import { formOf, FrozenBlocks, localLine } from '../training/index.ts'
import type { BaseModel } from '../training/index.ts'
import { ModelUnknownError } from './errors.ts'
import { homePaths } from './home.ts'
import type { Library } from './library.ts'

interface Loaded {
  readonly blocks: FrozenBlocks
  readonly folder: string
  users: number
}

export class BaseModels {
  readonly #loaded = new Map<string, Promise<Loaded>>()

  model(manifest: ModelManifest, store: BlobStore, tokenizer: Tokenizer): BaseModel {
    return {
      manifest,
      store,
      tokenizer,
      line: async (spec, length, _, threads, gradients) => {
        const loaded = await this.#take(manifest, store, threads)
        const session = await loaded.blocks.open(0, manifest.blocks.length, length, formOf(spec))
        return localLine(session, () => this.#leave(manifest.digest, loaded), gradients)
      },
    }
  }

  async #take(manifest: ModelManifest, store: BlobStore, threads: number): Promise<Loaded> {
    const { digest } = manifest
    const known = this.#loaded.get(digest) ?? this.#load(manifest, store, threads)
    this.#loaded.set(digest, known)
    const loaded = await known
    loaded.users++
    return loaded
  }

  async #load(manifest: ModelManifest, store: BlobStore, threads: number): Promise<Loaded> {
    const folder = await mkdtemp(join(tmpdir(), 'weft-base-'))
    const options = { threads, optimization: 'basic' as const }
    const blocks = new FrozenBlocks({ engine: createOrtEngine(), folder, options, store, manifest })
    return { blocks, folder, users: 0 }
  }

  async #leave(digest: string, loaded: Loaded): Promise<void> {
    if (--loaded.users > 0) return
    this.#loaded.delete(digest)
    await loaded.blocks.close()
    await rm(loaded.folder, { recursive: true, force: true })
  }
}

/** Models of a home by name or digest, where no peer need run. @throws ModelUnknownError, ModelKindError */
export function homeBases(home: string): (name: string) => Promise<BaseModel> {
  const models = new BaseModels()
  return async (name) => {
    const paths = homePaths(home, process.env)
    const { manifests } = await loadManifests(paths.partitions)
    const found = manifests.find((known) => known.model === name || known.digest === name)
    if (found === undefined) throw new ModelUnknownError(name, false)
    const manifest = languageModel(found)
    const store = await createBlobStore({ directory: paths.store, readOnly: true })
    const definition = Buffer.from(await store.readAll(manifest.tokenizer.address)).toString('utf8')
    return models.model(manifest, store, createTokenizer(JSON.parse(definition) as TokenizerDefinition))
  }
}

/** The same for plans of federations, which name a model and say what it is. */
export function homeFederationBase(home: string): BaseProvider {
  const bases = homeBases(home)
  return ({ name }) => bases(name)
}

/** Of a running peer: what is missing comes from the mesh. Another model of the name is handed over as it is, for the plan to refuse. */
export function meshBases(library: Library, store: BlobStore): BaseProvider {
  const models = new BaseModels()
  return async ({ name, digest }, signal) => {
    const manifest = languageModel(library.byDigest(digest) ?? (await library.resolve(name, signal)))
    if (manifest.digest === digest) await library.fetch(manifest, 0, manifest.blocks.length, signal)
    return models.model(manifest, store, await library.tokenizer(manifest, signal))
  }
}
