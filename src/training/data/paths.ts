/** The files that a description of data names. */
import { resolve } from 'node:path'
import { PlanFieldError } from '../errors.ts'
import type { DataSpec } from '../plan/schema.ts'

/** The same data with absolute paths. */
export function absoluteData(spec: DataSpec, folder: string): DataSpec {
  if (spec.kind === 'idx') {
    return { ...spec, images: resolve(folder, spec.images), labels: resolve(folder, spec.labels) }
  }
  if (spec.kind === 'csv' || spec.kind === 'text') {
    const paths = typeof spec.path === 'string' ? [spec.path] : spec.path
    return { ...spec, path: paths.map((path) => resolve(folder, path)) }
  }
  return { ...spec, path: resolve(folder, spec.path) }
}

/** The same kind of data out of other files. @throws PlanFieldError */
export function otherFiles(spec: DataSpec, files: readonly string[], planPath: string): DataSpec {
  const [first = '', second] = files
  if (spec.kind === 'csv' || spec.kind === 'text') return { ...spec, path: [...files] }
  if (spec.kind === 'idx') {
    if (second === undefined || files.length > 2) {
      throw new PlanFieldError(planPath, 'data', 'idx takes two files: images, then labels')
    }
    return { ...spec, images: first, labels: second }
  }
  if (files.length > 1) throw new PlanFieldError(planPath, 'data', `${spec.kind} takes one file`)
  return { ...spec, path: first }
}
