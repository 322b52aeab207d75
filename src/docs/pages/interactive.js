// Swagger UI over the document of whoever is authorised. The token stays in this page and is gone when it is closed.
"use strict";

window.addEventListener("DOMContentLoaded", () => {
  const DOCUMENT = "./openapi.json";
  let token = "";

  // After Authorize and Logout the document is another one: what that user may do.
  const follow = () => ({
    statePlugins: {
      auth: {
        wrapActions: {
          authorize: (original, system) => (payload) => {
            token = String(payload?.bearer?.value ?? "").replace(/^Bearer\s+/i, "").trim();
            const result = original(payload);
            system.specActions.download(DOCUMENT);
            return result;
          },
          logout: (original, system) => (payload) => {
            token = "";
            const result = original(payload);
            system.specActions.download(DOCUMENT);
            return result;
          },
        },
      },
    },
  });

  window.SwaggerUIBundle({
    url: DOCUMENT,
    dom_id: "#swagger-ui",
    layout: "BaseLayout",
    plugins: [follow],
    requestInterceptor: (request) => {
      if (token && request.loadSpec) {
        request.headers.Authorization = `Bearer ${token}`;
      }
      return request;
    },
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: -1,
    displayRequestDuration: true,
    filter: true,
    validatorUrl: null,
  });
});
