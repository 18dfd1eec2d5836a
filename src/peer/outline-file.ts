/** `weft show FILE`: what a model file says of itself, read in a child, and nothing is kept of it. */
import { join, resolve } from 'node:path'
import { outlineInChild } from '../models/index.ts'
import type { GraphOutline, ModelOutline } from '../models/index.ts'
import { systemClock } from '../util/index.ts'
import { homePaths, prepareHome } from './home.ts'

export interface OutlineInit {
  readonly home: string
  /** A model file, or a folder of a hub's layout. */
  readonly path: string
}

interface FileOutline {
  readonly schema: 'weft.outline/1'
  readonly path: string
}

export type AnyFileOutline = FileOutline & (ModelOutline | GraphOutline)

/** @throws SourceFileError, ModelFileError, UnsupportedModelError, ImportMemoryError, what reading an ONNX file throws */
export async function outlineFile({ home, path }: OutlineInit, signal?: AbortSignal): Promise<AnyFileOutline> {
  const paths = homePaths(home, process.env)
  await prepareHome(paths)
  const needs = { clock: systemClock(), codeCache: join(paths.cache, 'code') }
  const outline = resolve(path)
  const read = await outlineInChild(needs, { outline, weights: 'auto' }, signal)
  return { schema: 'weft.outline/1', path: outline, ...read }
}
