import { makePrivate } from './private-folder.ts'

/**
 * The environment of a child process by which Node keeps its compiled program: where the variable of Node's own says, which
 * comes first as it does for `bin/weft`, else in this folder, which is made and is of this user alone.
 */
export function codeCacheEnv(folder: string): { readonly NODE_COMPILE_CACHE: string } {
  const given = process.env['NODE_COMPILE_CACHE']
  if (given !== undefined && given !== '') return { NODE_COMPILE_CACHE: given }
  makePrivate(folder)
  return { NODE_COMPILE_CACHE: folder }
}
