import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

export default defineConfig({
  // The server answers /graphql with index.html; all other files are below this path.
  base: '/assets/explorer/',
  plugins: [react()],
  build: {
    assetsDir: '',
    // Fonts and pictures stay files of their own: the content security policy
    // allows no data: fonts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // The notices of everything that is bundled.
    license: { fileName: 'licenses.md' },
    rolldownOptions: {
      // The packages' notes to another compiler, of no consequence here.
      onLog(level, log, report) {
        if (log.code !== 'MODULE_LEVEL_DIRECTIVE') report(level, log);
      },
    },
    // The editor is one big piece, loaded on demand.
    chunkSizeWarningLimit: 4000,
  },
});
