/** Manifests on disk: `<model>.json` in a partitions folder. */
import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { writeFileAtomic } from '../store/index.ts'
import { ManifestError, ModelExistsError } from './errors.ts'
import { checkAnyManifest } from './graph/check.ts'
import { MAX_MANIFEST_BYTES } from './manifest-check.ts'
import type { AnyManifest } from './graph/manifest.ts'
import { manifestFileName } from './model-name.ts'

export interface LoadedManifests {
  readonly manifests: readonly AnyManifest[]
  /** Files that are not what their name says, each with its reason: said, not hidden, and not fatal. */
  readonly refused: readonly { readonly file: string; readonly why: string }[]
}

/** All manifests of a folder, by name; a folder that is not there has none. */
export async function loadManifests(directory: string): Promise<LoadedManifests> {
  const names = await readdir(directory).catch(() => [] as string[])
  const manifests: AnyManifest[] = []
  const refused: { file: string; why: string }[] = []
  for (const file of names.filter((name) => name.endsWith('.json') && !name.startsWith('.')).toSorted()) {
    try {
      manifests.push(await readManifest(join(directory, file), file))
    } catch (error) {
      refused.push({ file, why: error instanceof Error ? error.message : String(error) })
    }
  }
  return { manifests, refused }
}

async function readManifest(path: string, file: string): Promise<AnyManifest> {
  const { size } = await stat(path)
  if (size > MAX_MANIFEST_BYTES) throw new ManifestError(`${size} bytes are over ${MAX_MANIFEST_BYTES}`)
  const text = await readFile(path, 'utf8')
  const manifest = checkAnyManifest(parseJson(text))
  if (manifestFileName(manifest.model) !== file) throw new ManifestError(`it is that of ${manifest.model}`)
  return manifest
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (cause) {
    throw new ManifestError('it is not JSON', cause)
  }
}

/** The manifest of one model, or null when the folder has none. @throws ManifestError when it is damaged */
export async function loadManifest(directory: string, model: string): Promise<AnyManifest | null> {
  const file = manifestFileName(model)
  const there = await stat(join(directory, file)).catch(() => null)
  return there === null ? null : readManifest(join(directory, file), file)
}

/**
 * Writes a manifest, whole or not at all.
 * @throws ModelExistsError when another model has the name and `force` is not set; DiskFullError, StoreUnwritableError
 */
export async function saveManifest(
  directory: string,
  manifest: AnyManifest,
  options: { readonly force?: boolean } = {},
): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  if (options.force !== true) {
    const there = await loadManifest(directory, manifest.model).catch(() => null)
    if (there !== null && there.digest !== manifest.digest) {
      throw new ModelExistsError(manifest.model, there.digest, manifest.digest)
    }
  }
  await writeFileAtomic(join(directory, manifestFileName(manifest.model)), `${JSON.stringify(manifest, null, 1)}\n`)
}

export async function removeManifest(directory: string, model: string): Promise<void> {
  await rm(join(directory, manifestFileName(model)), { force: true })
}
