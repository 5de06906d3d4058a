# The explorer for many visitors, without a GPU: docker build -t versatileffn-explorer . ; see docs/hosting.md.
FROM python:3.11-slim

# Chromium draws the PDF, PNG and SVG files that the server offers; without it the browser's own SVG and PNG remain.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends chromium fonts-noto-core fonts-noto-cjk \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /explorer
COPY requirements.txt constraints.txt ./
# CPU wheels of torch: a tenth of the size, and enough for the sample models.
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu -r requirements.txt -c constraints.txt
COPY . .

# The cache has to be there, and the user's own, for a volume to be put over it.
RUN useradd --create-home explorer && install --directory --owner explorer --group explorer /home/explorer/.cache
USER explorer
EXPOSE 8501
HEALTHCHECK --interval=30s --start-period=60s \
    CMD python -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=5)"
CMD ["python", "-m", "app", "serve", "--address", "0.0.0.0", "--port", "8501"]
