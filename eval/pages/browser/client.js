// Calls of the worker as functions that return promises.

export class Client {
  /** @param {object} settings see `configure` of worker.js; addresses may be relative to the page */
  constructor(settings) {
    this.waiting = new Map();
    this.number = 0;
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data: { id, progress, result, error } }) => {
      const { resolve, reject, onProgress } = this.waiting.get(id);
      if (progress !== undefined) return onProgress(progress);
      this.waiting.delete(id);
      if (error) reject(new Error(error));
      else resolve(result);
    };
    this.worker.onerror = ({ message }) => {
      for (const { reject } of this.waiting.values()) reject(new Error(message || "the worker could not be started"));
      this.waiting.clear();
    };
    const absolute = (path) => new URL(path, document.baseURI).href;
    const models = settings.models.map((model) => ({ ...model, path: absolute(model.path) }));
    this.call("configure", [{ ...settings, models, runtime: absolute(settings.runtime) }]);
  }

  call(method, given, onProgress = () => {}) {
    const id = ++this.number;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject, onProgress });
      this.worker.postMessage({ id, method, given });
    });
  }
}
